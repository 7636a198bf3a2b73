"""Where the checkpoints of a training run live: outside every DVC out, keyed by what determines the run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tinycats.runtime.bounds import is_stored_whole
from tinycats.runtime.earlier_runs import link_earlier
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_path, file_hash, is_locked, locked, remove_leftovers
from tinycats.runtime.processes import is_main
from tinycats.runtime.sources import changes_results, loaded_sources
from tinycats.runtime.status import read_status

KEEP_CHECKPOINTS = 2  # the newest, and one to fall back on
KEEP_RUNS = 4  # finished ones of a stage, with the one under way
DIGITS = 16  # of a checkpoint's sha256 in its file name
UNNAMED = "checkpoint.pt"  # while its hash is not known
CHECKPOINT_FILE = re.compile(rf"checkpoint-(\d+)-([0-9a-f]{{{DIGITS}}})\.pt")


class CheckpointFile(NamedTuple):
    path: Path
    step: int
    digest: str


def run_key(determines: Mapping[str, Any], inputs: list[Path]) -> str:
    """A name for the run: a hash of what `determines` its result (JSON), of the files it reads and of the code it has loaded.

    The code of this room is left out: it cannot change the result.
    """
    digest = hashlib.sha256(json.dumps(determines, sort_keys=True).encode())
    for path in sorted(inputs):
        digest.update(file_hash(path).encode())
    for name, path in loaded_sources().items():
        if changes_results(name):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def open_run(runs: Path, stage: str, key: str) -> RunDirectory:
    """The directory of a run of `stage` below `runs`; the main process deletes old finished runs of the stage."""
    run = RunDirectory(runs / f"{stage}-{key}")
    link_earlier(run.path)
    if is_main():
        run.hold()
        remove_leftovers(run.path / UNNAMED)  # of a run that was killed while it wrote
        others = [
            path for path in runs.glob(f"{stage}-*") if path != run.path and _is_finished(path) and not is_locked(path)
        ]
        others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in others[KEEP_RUNS - 1 :]:
            shutil.rmtree(path, ignore_errors=True)
    return run


def _is_finished(path: Path) -> bool:
    status = read_status(path)
    return status is not None and status.state == "finished"


class RunDirectory:
    """The checkpoints of one run. A checkpoint's file name holds its step and the first digits of its sha256."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._held = ExitStack()

    def hold(self) -> None:
        """Keep `tinycats status --prune` from it for as long as this object lives; it may be long until there is a status."""
        with suppress(OSError):
            self._held.enter_context(locked(self.path))

    def save(self, step: int, checkpoint: Mapping[str, Any]) -> None:
        """Write the checkpoint of `step` atomically, then delete all but the newest KEEP_CHECKPOINTS."""
        unnamed = self.path / UNNAMED
        with atomic_path(unnamed) as temporary:
            torch.save({"step": step, **checkpoint}, temporary)
            digest = file_hash(temporary)[:DIGITS]
        unnamed.replace(self.path / f"checkpoint-{step:09d}-{digest}.pt")
        for old in self._checkpoints()[KEEP_CHECKPOINTS:]:
            old.path.unlink()

    def load(self, max_step: int) -> dict[str, Any] | None:
        """The newest sound checkpoint of at most `max_step` steps, or None where there is no checkpoint.

        Raises UserError where there are checkpoints and all are damaged.
        """
        damaged = None
        for path, step, digest in self._checkpoints():
            if step > max_step:
                continue
            if file_hash(path)[:DIGITS] == digest and is_stored_whole(path):
                if damaged and is_main():
                    print(f"{damaged}: is damaged; resumes from the checkpoint before it, of step {step}", flush=True)
                checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return checkpoint
            damaged = path
        if damaged:
            raise UserError(
                f"{damaged}: is damaged, and there is no earlier checkpoint; delete {self.path} to start over"
            )
        return None

    def _checkpoints(self) -> list[CheckpointFile]:
        """The last written first."""
        found = [(path, CHECKPOINT_FILE.fullmatch(path.name)) for path in self.path.iterdir()]
        files = [CheckpointFile(path, int(m[1]), m[2]) for path, m in found if m]
        return sorted(files, key=lambda file: file.path.stat().st_mtime_ns, reverse=True)
