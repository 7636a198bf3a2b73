"""Where the state of an unfinished training run lives: outside every DVC out, keyed by what determines the run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from tinycats.errors import UserError
from tinycats.files import atomic_path, file_hash
from tinycats.training.distributed import is_main
from tinycats.training.status import is_alive, read_status

KEEP_STATES = 2  # the newest, and one to fall back on; the one that validated best is kept besides
KEEP_RUNS = 4  # of a stage, the one under way included
DIGITS = 16  # of a state's sha256 in its file name
UNNAMED = "state.pt"  # while its hash is not known
STATE_FILE = re.compile(rf"state-(\d+)-([0-9a-f]{{{DIGITS}}})(?:-(\d+\.\d+))?\.pt")


class StateFile(NamedTuple):
    path: Path
    step: int
    digest: str
    error: float  # of the last validation before it; infinite before the first


def run_key(settings: Mapping[str, Any], inputs: list[Path]) -> str:
    """A name for the run: a hash of its settings, of the files it reads and of the source code loaded so far."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(inputs):
        digest.update(file_hash(path).encode())
    for name, module in sorted(sys.modules.items()):
        if name.startswith("tinycats.") and module.__file__ and Path(module.__file__).suffix == ".py":
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


def open_run(runs: Path, stage: str, key: str) -> RunDirectory:
    """The directory of a run of `stage` below `runs`. Of the stage's other runs, all but the newest are deleted."""
    run = RunDirectory(runs / f"{stage}-{key}")
    if is_main():
        for unfinished in run.path.glob(f".{UNNAMED}.*"):  # left by a run that was killed while it saved
            unfinished.unlink()
    others = [path for path in runs.glob(f"{stage}-*") if path != run.path]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEEP_RUNS - 1 :]:
        status = read_status(path)
        if status is None or not is_alive(status):
            shutil.rmtree(path, ignore_errors=True)
    return run


class RunDirectory:
    """The states of one run. A state's file name holds its step, the first digits of its sha256 and its validation error."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def save_state(self, step: int, state: Mapping[str, Any], error: float | None = None) -> None:
        """Write the state of `step` atomically, then delete all but the newest KEEP_STATES and the one of the least `error`."""
        unnamed = self.path / UNNAMED
        with atomic_path(unnamed) as temporary:
            torch.save({"step": step, **state}, temporary)
            digest = file_hash(temporary)[:DIGITS]
        validated = "" if error is None else f"-{error:.6f}"
        unnamed.replace(self.path / f"state-{step:09d}-{digest}{validated}.pt")
        states = self._states()
        best = min(states, key=lambda state: state.error)
        for old in states[KEEP_STATES:]:
            if old != best:
                old.path.unlink()

    def load_state(self, max_step: int) -> dict[str, Any] | None:
        """The newest sound state of at most `max_step` steps, or None where there is no state.

        Raises UserError where there are states and all are damaged.
        """
        damaged = None
        for path, step, digest, _ in self._states():
            if step > max_step:
                continue
            if file_hash(path)[:DIGITS] == digest:
                if damaged and is_main():
                    print(f"{damaged}: is damaged; goes on from the state before it, of step {step}", flush=True)
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            damaged = path
        if damaged:
            raise UserError(f"{damaged}: is damaged, and there is none before it; delete {self.path} to start over")
        return None

    def _states(self) -> list[StateFile]:
        """The last written first."""
        found = [(path, STATE_FILE.fullmatch(path.name)) for path in self.path.iterdir()]
        states = [StateFile(path, int(m[1]), m[2], float(m[3] or "inf")) for path, m in found if m]
        return sorted(states, key=lambda state: state.path.stat().st_mtime_ns, reverse=True)
