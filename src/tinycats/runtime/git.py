"""Asking git."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tinycats.runtime.errors import UserError


def git(root: Path, *arguments: str, given: bytes = b"") -> bytes:
    """What the git command prints in `root`, with `given` on its stdin. Raises UserError if it fails or git is not installed."""
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, input=given).stdout
    except FileNotFoundError:
        raise UserError("git: is not installed") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        raise UserError(f"{root}: git {arguments[0]} failed: {said[-1] if said else error.returncode}") from None
