"""In a container: brings the checkpoints that the job writes to the Volume, and what the caller may want to know meanwhile."""

from __future__ import annotations

import shutil
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tinycats.runtime.files import atomic_path, read_json, write_json

COMMIT_EVERY_S = 60.0  # where there is no new checkpoint earlier; the status is committed with it


class VolumeCheckpoints:
    """The job works in `runs`, a directory of its own: a Volume with open files cannot be brought up to date.

    On the Volume each run has a folder for each call that worked on it. A call reads all of them (see link_earlier), writes to
    its own and deletes there alone: two calls of one run can neither mix their checkpoints nor delete each other's.
    """

    def __init__(self, runs: Path, volume: Path, folder: Path, call: str, commit: Callable[[], None]) -> None:
        self.runs, self.there, self.folder, self.call, self.commit = runs, volume / "runs", folder, call, commit
        self.attempt, self.started = uuid.uuid4().hex, time.monotonic()
        self.committed: set[str] = set()
        self.committed_at = -COMMIT_EVERY_S

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
        """Copy what the job has written of a run, and delete the checkpoints of this call that it has deleted."""
        kept = [*run.glob("checkpoint-*.pt"), *run.glob("status.json"), *run.glob("images/*.png")]
        written = [path for path in kept if not path.is_symlink()]
        if not written:
            return
        there = self.there / run.name / self.call
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
