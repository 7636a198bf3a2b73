"""What happens in a container: prepares a directory like the project's, runs the job in a process of its own there, and
commits its checkpoints.

A Volume is a view: what a container writes is lost with it until it is committed. The layout of the Volume:

    inputs/DIGEST      a file or directory that jobs read; inputs/DIGEST.json is written when it is whole
    runs/RUN/CALL      the checkpoints of a training run that a call has written
    calls/NAME/NUMBER  of one call, by its caller: claim.json before and call.json after it was made; by its container:
                       started.json, attempts.json, status.json, outputs/PATH, and result.json when they are whole
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self

from pydantic import TypeAdapter

from tinycats.runtime.compute.contents import Contents, contents
from tinycats.runtime.compute.job import run_here
from tinycats.runtime.compute.job_text import from_text
from tinycats.runtime.compute.volume_checkpoints import VolumeCheckpoints
from tinycats.runtime.earlier_runs import EARLIER_RUNS
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.files import file_hash, scratch_directory, write_json

JOB_NAME = "job.json"  # in the directory of its process
# For the job. Modal kills a container 30 s after it was told to end: the rest is for the copy and the commit
FINISH_S = 12.0


@dataclass(frozen=True)
class Request:
    """All that a container is told. Paths are relative to the project."""

    folder: str  # of the call on the Volume
    sources: dict[str, str]  # sha256 by module, of the code that the caller has loaded
    inputs: dict[str, str]  # digest by path
    outputs: list[str]
    state: str
    job: str  # a Job as text

    def to_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Self:
        return TypeAdapter(cls).validate_json(text)


@dataclass(frozen=True)
class Result:
    """What a container answers when trying again would change nothing."""

    seconds: float  # of all attempts at the call, as the containers saw them
    attempts: int
    outputs: dict[str, Contents]  # by path
    error: str | None = None  # what a person has to change; trying again would not help


def execute(request: Request, call_id: str, volume: Path, commit: Callable[[], None]) -> Result:
    """Run the job of the request with the Volume that is mounted at `volume`.

    Raises RuntimeError where another attempt may succeed: the job crashed, or the Volume could not be committed.
    """
    folder = volume / request.folder
    for directory in (folder, volume / "runs"):
        directory.mkdir(parents=True, exist_ok=True)
    outputs, problem = {}, None
    with scratch_directory() as work:
        checkpoints = VolumeCheckpoints(work / request.state / "runs", volume, folder, call_id, commit)
        write_json(folder / "started.json", {"call_id": call_id})
        checkpoints.save()
        try:
            check_sources(request.sources)
            _prepare(work, request, volume)
            _run_in_process(work, request.job, checkpoints)
        except UserError as error:
            problem = str(error)
        else:
            outputs = {name: _deliver(work / name, folder / "outputs" / name) for name in request.outputs}
        for run in checkpoints.runs.glob("*"):
            checkpoints.bring(run)
    seconds = checkpoints.write_seconds()
    result = Result(sum(seconds.values()), len(seconds), outputs, problem)
    write_json(folder / "result.json", asdict(result))
    commit()
    return result


def check_sources(sources: Mapping[str, str]) -> None:
    """Raise UserError where the code here is not the caller's: somebody may have deployed the app by hand."""
    for module, expected in sources.items():
        spec = find_spec(module)
        if spec is None or spec.origin is None or file_hash(Path(spec.origin)) != expected:
            raise UserError(
                f"{module} was deployed with other content before this call began: `modal app stop` the app by hand, then run "
                "the same command again"
            )


def _prepare(work: Path, request: Request, volume: Path) -> None:
    """Make a directory like the project's: copies of the inputs, parents for the outputs."""
    for name, digest in request.inputs.items():
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        source = volume / "inputs" / digest
        if source.is_dir():
            shutil.copytree(source, work / name)
        else:
            shutil.copyfile(source, work / name)
    for name in request.outputs:
        (work / name).parent.mkdir(parents=True, exist_ok=True)


def _run_in_process(work: Path, job: str, checkpoints: VolumeCheckpoints) -> None:
    """Run the job in `work`; look for new checkpoints once a second.

    Raises UserError with the job's own line, RuntimeError where it crashed. Told to end, it lets the job write a checkpoint.
    """
    (work / JOB_NAME).write_text(job, encoding="utf-8")
    packages = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); import {__name__} as c; c.main()"],
        cwd=work, stderr=subprocess.PIPE, env={**os.environ, EARLIER_RUNS: str(checkpoints.there)},
    )  # fmt: skip
    assert process.stderr is not None
    last: list[bytes] = [b""]
    reader = threading.Thread(target=_forward, args=(process.stderr, last))
    reader.start()
    try:
        while True:
            try:
                code = process.wait(timeout=1)
                break
            except subprocess.TimeoutExpired:
                checkpoints.try_to_save()
    except BaseException:
        process.terminate()
        try:
            process.wait(FINISH_S)
        except subprocess.TimeoutExpired:
            process.kill()
        checkpoints.try_to_save()
        raise
    reader.join()
    line = last[0].decode(errors="replace")
    if code == 1 and line.startswith("error: "):
        raise UserError(line.removeprefix("error: "))
    if code:
        checkpoints.try_to_save()
        raise RuntimeError(f"the job ended with exit code {code}: {line}")


def _forward(stream: IO[bytes], last: list[bytes]) -> None:
    """Pass on what comes, and remember the last line."""
    for line in stream:
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
        last[0] = line.strip() or last[0]


def _deliver(output: Path, target: Path) -> Contents:
    """Copy an output to the Volume; return what is in it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if output.is_dir():
        shutil.copytree(output, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(output, target)
    return contents(output)


def main() -> None:
    """The process of the job, in its directory."""
    with one_line_errors():
        run_here(from_text(Path(JOB_NAME).read_text(encoding="utf-8")))
