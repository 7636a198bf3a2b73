"""Where the state of an unfinished training run lives: outside every DVC out, keyed by what determines the run."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinycats.errors import UserError
from tinycats.files import atomic_path, file_hash
from tinycats.training.status import is_alive, read_status

KEEP_STATES = 2  # the newest, and one to fall back on
KEEP_RUNS = 4  # of a stage, the one under way included
DIGITS = 16  # of a state's sha256 in its file name
STATE_FILE = re.compile(rf"state-(\d+)-([0-9a-f]{{{DIGITS}}})\.pt")


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
    others = [path for path in runs.glob(f"{stage}-*") if path != run.path]
    others.sort(key=lambda path: path.stat().st_mtime, reverse=True)
    for path in others[KEEP_RUNS - 1 :]:
        status = read_status(path)
        if status is None or not is_alive(status):
            shutil.rmtree(path, ignore_errors=True)
    return run


class RunDirectory:
    """The newest states of one run. A state's file name holds its step and the first digits of its sha256."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def save_state(self, step: int, state: Mapping[str, Any]) -> None:
        """Write the state of `step` atomically, then delete all but the newest KEEP_STATES."""
        unnamed = self.path / "state.pt"
        with atomic_path(unnamed) as temporary:
            torch.save({"step": step, **state}, temporary)
            digest = file_hash(temporary)[:DIGITS]
        unnamed.replace(self.path / f"state-{step:09d}-{digest}.pt")
        for path, _, _ in self._states()[KEEP_STATES:]:
            path.unlink()

    def load_state(self, max_step: int) -> dict[str, Any] | None:
        """The newest sound state of at most `max_step` steps, or None where there is no state.

        Raises UserError where there are states and all are damaged.
        """
        damaged = []
        for path, step, digest in self._states():
            if step > max_step:
                continue
            if file_hash(path)[:DIGITS] != digest:
                damaged.append(path)
                continue
            for bad in damaged:
                print(f"{bad}: is damaged; goes on from the state before it, of step {step}", flush=True)
                bad.unlink()
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        if damaged:
            raise UserError(f"{damaged[0]}: is damaged, and there is none before it; delete {self.path} to start over")
        return None

    def _states(self) -> list[tuple[Path, int, str]]:
        """Path, step and digits, the last written first."""
        found = [(path, STATE_FILE.fullmatch(path.name)) for path in self.path.iterdir()]
        states = [(path, int(match[1]), match[2]) for path, match in found if match]
        return sorted(states, key=lambda state: state[0].stat().st_mtime_ns, reverse=True)
