"""Revisions of the pipeline's results: the workspace, commits, and DVC's experiments, which are commits of their own.

All that a revision shows is in git (metrics and plots are outs that DVC does not cache), so git alone is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tinycats.runtime.errors import UserError
from tinycats.runtime.git import git

METRICS = "metrics"
PARAMS = "params.yaml"
# refs/exps/<commit it started from, 2 + 38 digits>/<name>: DVC's layout of finished experiments
EXPERIMENT = re.compile(r"refs/exps/([0-9a-f]{2})/([0-9a-f]{38})/(\S+)")


@dataclass(frozen=True)
class Revision:
    """`files`: the bytes of params.yaml and of all below metrics/, by path. `commit`, `date` (UTC): None in the workspace.

    `name` and `baseline` (a commit) are of experiments alone.
    """

    kind: Literal["workspace", "commit", "experiment"]
    files: dict[str, bytes]
    commit: str | None = None
    date: str | None = None
    message: str | None = None
    name: str | None = None
    baseline: str | None = None


def find_revisions(root: Path, count: int) -> list[Revision]:
    """What the project in `root` measures and has measured, the newest first.

    The workspace, if its metrics/ differs from HEAD's; the last `count` commits that changed metrics/; the last `count`
    experiments. Outside a git repository, or without git, only the workspace. Raises UserError if there are no metrics.
    """
    revisions: list[Revision] = []
    if not _has_commits(root):
        if files := _workspace_files(root):
            revisions = [Revision("workspace", files)]
    else:
        if git(root, "status", "--porcelain", "--untracked-files=all", "--", METRICS) and (
            files := _workspace_files(root)
        ):
            revisions.append(Revision("workspace", files))
        revisions += _first(count, _commits(root))
        revisions += _first(count, _experiments(root))
    if not revisions:
        raise UserError(
            f"{root}: no revision has {METRICS}/*.json; run `dvc repro` first, or name the project with --root"
        )
    return revisions


def committed(root: Path, name: str) -> Revision:
    """The revision of a commit, branch or tag. Raises UserError where there is none."""
    try:
        commit = git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}").decode().strip()
    except UserError:
        raise UserError(f"{name}: is no commit, branch or tag of the repository in {root.resolve()}") from None
    return Revision("commit", _committed_files(root, commit), commit)


def workspace(root: Path) -> Revision:
    return Revision("workspace", _workspace_files(root))


def _first(count: int, revisions: Iterator[Revision]) -> list[Revision]:
    """The first `count` that have metrics."""
    found: list[Revision] = []
    for revision in revisions:
        if len(found) == count:
            break
        if any(path != PARAMS for path in revision.files):
            found.append(revision)
    return found


def _commits(root: Path) -> Iterator[Revision]:
    for line in git(root, "log", "--format=%H %ct %s", "--", METRICS).decode().splitlines():
        commit, seconds, message = line.split(" ", 2)
        yield Revision("commit", _committed_files(root, commit), commit, _utc(seconds), message)


def _experiments(root: Path) -> Iterator[Revision]:
    listed = "--format=%(refname) %(objectname) %(committerdate:unix)"
    for line in (
        git(root, "for-each-ref", "--sort=refname", "--sort=-committerdate", listed, "refs/exps").decode().splitlines()
    ):
        reference, commit, seconds = line.split(" ")
        if match := EXPERIMENT.fullmatch(reference):  # the others are DVC's queue and stash
            files = _committed_files(root, commit)
            baseline = match[1] + match[2]
            yield Revision("experiment", files, commit, _utc(seconds), name=match[3], baseline=baseline)


def _committed_files(root: Path, commit: str) -> dict[str, bytes]:
    listing = git(root, "ls-tree", "-r", "-z", commit, "--", METRICS, PARAMS).decode()
    blobs = {}
    for entry in listing.split("\0")[:-1]:
        about, path = entry.split("\t", 1)
        mode, _, blob = about.split()
        if mode.startswith("100"):  # a file: neither a link nor a submodule
            blobs[path] = blob
    return dict(zip(blobs, _read_blobs(root, blobs.values()), strict=True))


def _read_blobs(root: Path, blobs: Iterable[str]) -> Iterator[bytes]:
    """In the format of `git cat-file --batch`: "<id> blob <size>", a line feed, the bytes, a line feed."""
    output = git(root, "cat-file", "--batch", given="\n".join(blobs).encode())
    start = 0
    while start < len(output):
        end = output.index(b"\n", start)
        size = int(output[start:end].split()[2])
        yield output[end + 1 : end + 1 + size]
        start = end + size + 2


def _workspace_files(root: Path) -> dict[str, bytes]:
    """Empty without metrics. Names that start with a dot are left out: interrupted writes leave them."""
    paths = sorted(
        path
        for path in (root / METRICS).rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )
    if paths and (root / PARAMS).is_file():
        paths.append(root / PARAMS)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def _has_commits(root: Path) -> bool:
    try:
        git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    except UserError:
        return False
    return True


def _utc(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()
