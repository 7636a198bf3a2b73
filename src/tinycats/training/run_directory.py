"""Where the state of an unfinished training run lives: outside every DVC out, keyed by what determines the run."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sys
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinycats.errors import UserError
from tinycats.files import atomic_path, file_hash, write_json

STATE_NAME = "state.pt"
STATUS_NAME = "status.json"


def run_key(settings: Mapping[str, Any], inputs: list[Path]) -> str:
    """A name for the run: a hash of its settings, of the files it reads and of the source code loaded so far."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for path in sorted(inputs):
        digest.update(file_hash(path).encode())
    for name, module in sorted(sys.modules.items()):
        if name.startswith("tinycats.") and module.__file__ and Path(module.__file__).suffix == ".py":
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


class RunDirectory:
    """State and status of one run."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def save_state(self, state: Mapping[str, Any]) -> None:
        """Write the state atomically: a reader sees the old one or the new one, whole."""
        with atomic_path(self.path / STATE_NAME) as temporary:
            torch.save(dict(state), temporary)

    def load_state(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none. Raises UserError where it cannot be read."""
        path = self.path / STATE_NAME
        if not path.exists():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
            raise UserError(f"{path}: is damaged ({error}); delete {self.path} to start this run over") from None
        return state

    def write_status(self, **status: Any) -> None:
        """Write status.json for other programs: what runs, how far it is, and when this was written (Unix time)."""
        write_json(self.path / STATUS_NAME, {"pid": os.getpid(), "written_at": time.time(), **status})
