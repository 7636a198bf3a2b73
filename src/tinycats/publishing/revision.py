"""Which commit the published files come from, and what their revision on the Hub is called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinycats.runtime.errors import UserError
from tinycats.runtime.git import git


def git_revision(root: Path, code: Sequence[str]) -> str | None:
    """The last commit that changed `code` (paths in `root`), with `+changes` if tracked files differ from it.

    None outside a git repository, or if no commit has the code. Commits of metrics and dvc.lock do not count: a run of the
    same code at a later commit gives the same answer.
    """
    try:
        revision = git(root, "log", "-1", "--format=%H", "--", *code).decode().strip()
        changes = git(root, "status", "--porcelain", "--untracked-files=no", "--", *code)
    except UserError:
        return None
    return f"{revision}+changes" if revision and changes else revision or None


def tag_name(revision: str | None, content: Any) -> str:
    """The Hub's tag of a publication: git-REVISION-DIGEST, with the first 12 digits of git_revision's answer.

    content: the manifest, JSON that names every file with its hash. Its digest keeps apart what one commit made of
    different data, so a tag never moves. The tag is known before the upload, and cannot be taken for one of the Hub's
    commits, which have 40 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]
    commit, _, changes = (revision or "none").partition("+")
    return "-".join(part for part in ("git", commit[:12], changes, digest) if part)
