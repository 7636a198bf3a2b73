"""What happens in a container: prepares a directory like the project's, runs the job in a process of its own there, and
commits its checkpoints.

A Volume is a view: what a container writes is lost with it until it is committed. The layout of the Volume:

    inputs/DIGEST      a file or directory that jobs read; inputs/DIGEST.json is written when it is whole
    runs               the checkpoints of all training runs
    calls/NAME         of one call: call.json, attempts.json, status.json, outputs/PATH
"""

from __future__ import annotations

import base64
import pickle
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Self

from tinycats.runtime.compute.contents import Contents, contents
from tinycats.runtime.compute.job import Job, run_here
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.files import atomic_path, file_hash, read_json, scratch_directory, write_json

COMMIT_EVERY_S = 60.0  # where there is no new checkpoint earlier; the status is committed with it
FINISH_S = 25.0  # Modal kills a container 30 s after it was told to end


@dataclass(frozen=True)
class Request:
    """All that a container is told. Paths are relative to the project."""

    name: str
    sources: dict[str, str]  # sha256 by module, of the code that the caller has loaded
    inputs: dict[str, str]  # digest by path
    outputs: list[str]
    state: str
    job: bytes  # a pickled Job

    def to_text(self) -> str:
        return base64.b64encode(pickle.dumps(self)).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        request = pickle.loads(base64.b64decode(text))
        assert isinstance(request, cls)
        return request


@dataclass(frozen=True)
class Result:
    """What a container answers when trying again would change nothing."""

    seconds: float  # of all attempts at a call of this name, as the containers saw them
    attempts: int
    outputs: dict[str, Contents]  # by path
    error: str | None = None  # what a person has to change; trying again would not help


class VolumeCheckpoints:
    """Brings the checkpoints that the job writes to the Volume, and what the caller may want to know of the call meanwhile.

    The job works in `runs`, a directory of its own: a Volume with open files cannot be brought up to date, and only the runs that
    this job writes to change on the Volume, whatever others do there at the same time.
    """

    def __init__(self, runs: Path, volume: Path, folder: Path, commit: Callable[[], None]) -> None:
        self.runs, self.there, self.folder, self.commit = runs, volume / "runs", folder, commit
        self.attempt, self.started = uuid.uuid4().hex, time.monotonic()
        self.committed: set[str] = set()
        self.committed_at = -COMMIT_EVERY_S

    def restore(self) -> None:
        """Show the job what is on the Volume: links, which it replaces by files of its own."""
        for path in self.there.rglob("*"):
            here = self.runs / path.relative_to(self.there)
            here.parent.mkdir(parents=True, exist_ok=True)
            if path.is_file():
                here.symlink_to(path)

    def save(self) -> None:
        """Commit where a checkpoint was written since the last commit, or where that is long ago."""
        written = {path.name for path in self.runs.glob("*/checkpoint-*.pt") if not path.is_symlink()}
        if written == self.committed and time.monotonic() - self.committed_at < COMMIT_EVERY_S:
            return
        self.write_seconds()
        for run in self.runs.glob("*"):
            self.bring(run)
        self.commit()
        self.committed, self.committed_at = written, time.monotonic()

    def bring(self, run: Path) -> None:
        """Copy what the job has written of a run, and delete the checkpoints that it has deleted."""
        kept = [*run.glob("checkpoint-*.pt"), *run.glob("status.json"), *run.glob("images/*.png")]
        written = [path for path in kept if not path.is_symlink()]
        if not written:
            return
        there = self.there / run.name
        for path in written:
            copy = there / path.relative_to(run)
            copy.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # deleted by the job just now
                if not copy.exists() or copy.stat().st_mtime_ns != path.stat().st_mtime_ns:
                    with atomic_path(copy) as temporary:
                        shutil.copyfile(path, temporary)
                    shutil.copystat(path, copy)
        for path in there.glob("checkpoint-*.pt"):
            if not (run / path.name).is_symlink() and not (run / path.name).exists():
                path.unlink()
        if (run / "status.json") in written:
            shutil.copyfile(run / "status.json", self.folder / "status.json")

    def try_to_save(self) -> None:
        """Save; where that fails, say so and let the job continue: a later time may do."""
        try:
            self.save()
        except Exception as error:  # whatever Modal's client raises
            print(f"the Volume could not be committed ({error}); trying again", file=sys.stderr, flush=True)

    def write_seconds(self) -> dict[str, float]:
        """Write and return the time that each attempt at the call has taken so far."""
        path = self.folder / "attempts.json"
        seconds: dict[str, float] = read_json(path) if path.exists() else {}
        seconds[self.attempt] = time.monotonic() - self.started
        write_json(path, seconds)
        return seconds


def execute(request: Request, call_id: str, volume: Path, commit: Callable[[], None]) -> Result:
    """Run the job of the request with the Volume that is mounted at `volume`.

    Raises RuntimeError where another attempt may succeed: the job crashed, or the Volume could not be committed.
    """
    folder = volume / "calls" / request.name
    for directory in (folder, volume / "runs"):
        directory.mkdir(parents=True, exist_ok=True)
    outputs, problem = {}, None
    with scratch_directory() as work:
        checkpoints = VolumeCheckpoints(work / request.state / "runs", volume, folder, commit)
        write_json(folder / "call.json", {"call_id": call_id})
        checkpoints.save()
        try:
            check_sources(request.sources)
            _prepare(work, request, volume)
            checkpoints.restore()
            _run_in_process(work, request.job, checkpoints)
        except UserError as error:
            problem = str(error)
        else:
            outputs = {name: _deliver(work / name, folder / "outputs" / name) for name in request.outputs}
        for run in checkpoints.runs.glob("*"):
            checkpoints.bring(run)
    seconds = checkpoints.write_seconds()
    commit()
    return Result(sum(seconds.values()), len(seconds), outputs, problem)


def check_sources(sources: Mapping[str, str]) -> None:
    """Raise UserError where the code here is not the caller's: another deployment may have come between."""
    for module, expected in sources.items():
        spec = find_spec(module)
        if spec is None or spec.origin is None or file_hash(Path(spec.origin)) != expected:
            raise UserError(
                f"{module} was deployed with other content before this call began; run the same command again"
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


def _run_in_process(work: Path, job: bytes, checkpoints: VolumeCheckpoints) -> None:
    """Run the job in `work`; look for new checkpoints once a second.

    Raises UserError with the job's own line, RuntimeError where it crashed. Told to end, it lets the job write a checkpoint.
    """
    (work / "job.pickle").write_bytes(job)
    packages = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(packages)!r}); import {__name__} as c; c.main()"],
        cwd=work, stderr=subprocess.PIPE,
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
        job: Job = pickle.loads(Path("job.pickle").read_bytes())
        run_here(job)
