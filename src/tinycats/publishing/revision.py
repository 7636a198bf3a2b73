"""Which commit the published files were made from."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path


def git_revision(root: Path, code: Sequence[str]) -> str | None:
    """The last commit that changed `code` (paths in `root`), with `+changes` where its tracked files differ from it.

    None outside a git repository, or where no commit touches the code. Commits of metrics and dvc.lock do not count: a run
    of the same code at a later commit gives the same answer.
    """
    revision = _git(root, "log", "-1", "--format=%H", "--", *code)
    if not revision:
        return None
    return (
        f"{revision}+changes" if _git(root, "status", "--porcelain", "--untracked-files=no", "--", *code) else revision
    )


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
