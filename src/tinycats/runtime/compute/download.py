"""Brings the outputs of a call from the Volume."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import modal

from tinycats.runtime.compute.calls import CallRecord
from tinycats.runtime.compute.container import Result
from tinycats.runtime.compute.job import Job
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, atomic_path, file_hash
from tinycats.runtime.track import track


class UnsoundError(Exception):
    """The outputs of a call are not what they should be."""


def download(
    volume: modal.Volume, record: CallRecord, result: Result, job: Job, insist: Callable[[Callable[[], None]], None]
) -> None:
    """Bring all outputs, compare their hashes, check them, and only then put them in place. Raises UnsoundError.

    `insist` does what it is given until Modal answers.
    """
    scratch = job.state / "remote" / record.name
    try:
        names = [output.as_posix() for output in job.outputs.values()]
        files = [(name, inside, digest) for name in names for inside, digest in result.outputs[name].items()]
        for name, inside, expected in track(files, f"{job.stage}: files from Modal"):
            target = scratch / name / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(volume, f"{record.folder}/outputs/{name}/{inside}".rstrip("/"), target, expected, insist)
        try:
            for argument, check in job.checks.items():
                check(scratch / job.outputs[argument])
        except UserError as error:
            raise UnsoundError(f"arrived from Modal, but {error}") from None
        for output in job.outputs.values():
            if (scratch / output).is_dir():
                with atomic_directory(output) as directory:
                    shutil.copytree(scratch / output, directory, dirs_exist_ok=True)
            else:
                with atomic_path(output) as path:
                    shutil.copyfile(scratch / output, path)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _fetch(
    volume: modal.Volume, remote: str, target: Path, expected: str, insist: Callable[[Callable[[], None]], None]
) -> None:
    output = remote.split("/outputs/", 1)[1]
    for _ in range(2):
        try:
            insist(partial(_copy, volume, remote, target))
        except FileNotFoundError:
            raise UnsoundError(f"{output} is not on Modal's Volume any more") from None
        if file_hash(target) == expected:
            return
    raise UnsoundError(f"{output} arrived damaged from Modal")


def _copy(volume: modal.Volume, remote: str, target: Path) -> None:
    with target.open("wb") as file:
        for chunk in volume.read_file(remote):
            file.write(chunk)
