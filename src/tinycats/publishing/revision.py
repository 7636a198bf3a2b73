"""Which commit the published files were made from, and what their revision on the Hub is called."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any


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


def tag_name(revision: str | None, content: Any) -> str:
    """The Hub's tag of a publication: git-REVISION-DIGEST, with the first 12 digits of git_revision's answer.

    content: the manifest, JSON that names every file with its hash. Its digest keeps apart what one commit made of
    different data, so a tag never moves. It is known before the upload, and is no 40 hexadecimal digits, which clients of
    the Hub would take for one of its commits.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    commit, _, changes = (revision or "none").partition("+")
    return "-".join(part for part in ("git", commit[:12], changes, digest) if part)


def _git(root: Path, *arguments: str) -> str | None:
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True
        ).stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
