"""Versions of models as git tags, which DVC's model registry reads: classifier@v1.2.0, classifier#prod#3.

GTO makes the tags. By itself it registers any name, whether or not there is such a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gto.api
import gto.tag
import yaml
from gto.exceptions import GTOException
from scmrepo.exceptions import SCMError
from scmrepo.git import Git

from tinycats.publishing.hub import version_tag
from tinycats.releasing.run import LOCK_NAME
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.git import git

IN_USE = "prod"  # the stage of what the release workflow has published


def register(root: Path, names: Sequence[str], version: str, stage: str | None, revision: str | None) -> list[str]:
    """Register the artifacts' version at `revision`, HEAD if None, and assign it to `stage`; return the tags that this took.

    A version that is registered already stays where it is, and only its stage is assigned: that is how a stage moves back.
    Raises UserError, without any tag made, where dvc.yaml has no such artifact at that revision or dvc.lock no such model,
    where dvc.lock is not committed, or another commit has this version.
    """
    commit = _commit(root, revision or "HEAD")
    if revision is None and git(root, "status", "--porcelain", "--", LOCK_NAME):
        raise UserError(f"{root / LOCK_NAME}: is not what is committed; commit it first, or name a revision with --rev")
    commits: dict[str, str] = {}
    for name in names:
        there = _registered(root, name, version)
        commits[name] = there or commit
        if there and there != commit and (revision or not stage):
            raise UserError(f"{name}: version {version} is commit {there[:12]} already; give this one another version")
        _check(root, name, commits[name])
    return _tag(root, commits, version, stage)


def move_back(root: Path, version: str, stage: str = IN_USE) -> list[str]:
    """Assign `stage`, where it is at another version, to this one of all artifacts that have it; return the tags that this took.

    Without such versions in `root`, or a git repository, there is nothing to do.
    """
    try:
        artifacts = _read(root, "HEAD", "dvc.yaml").get("artifacts", {})
    except UserError:
        return []
    commits = {name: commit for name in artifacts if (commit := _registered(root, name, version))}
    used = {name: commit for name, commit in commits.items() if _in_stage(root, name, stage)}
    return _tag(root, used, version, stage)


def _tag(root: Path, commits: Mapping[str, str], version: str, stage: str | None) -> list[str]:
    """Make the missing tags, all or none, for the version of each artifact at its commit."""
    made: list[str] = []
    tag = version_tag(version)
    for name, commit in commits.items():
        try:
            if not _registered(root, name, version):
                made.append(str(gto.api.register(root, name, commit, version=tag).ref))
            if stage and _in_stage(root, name, stage) != commit:
                made.append(str(gto.api.assign(root, name, stage, version=tag, force=True).ref))
        except (GTOException, SCMError) as error:
            for other in made:
                git(root, "tag", "--delete", other)
            raise UserError(f"{name}: cannot be registered as {version}: {first_line(error)}") from None
    return made


def push_command(tags: Sequence[str]) -> str:
    return f"git push origin {' '.join(repr(tag) for tag in tags)}"


def _check(root: Path, name: str, commit: str) -> None:
    artifacts = _read(root, commit, "dvc.yaml").get("artifacts", {})
    if name not in artifacts:
        raise UserError(f"{name}: is no artifact of dvc.yaml; it has {', '.join(sorted(artifacts)) or 'none'}")
    path = artifacts[name]["path"]
    stages = _read(root, commit, LOCK_NAME).get("stages", {}).values()
    if path not in {out["path"] for locked in stages for out in locked.get("outs", [])}:
        raise UserError(f"{name}: {LOCK_NAME} of {commit[:12]} has no {path}; run `dvc repro` and commit {LOCK_NAME}")


def _read(root: Path, commit: str, path: str) -> dict[str, Any]:
    try:
        return yaml.safe_load(git(root, "show", f"{commit}:{path}")) or {}
    except yaml.YAMLError as error:
        raise UserError(f"{path} of {commit[:12]}: is not YAML: {first_line(error)}") from None


def _commit(root: Path, revision: str) -> str:
    try:
        return git(root, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
    except UserError:
        raise UserError(f"{root.resolve()}: is no git repository with a commit {revision}") from None


def _registered(root: Path, name: str, version: str) -> str | None:
    """The commit of this version."""
    return _newest(root, name=name, version=version_tag(version))


def _in_stage(root: Path, name: str, stage: str) -> str | None:
    """The commit of the version that is in this stage."""
    return _newest(root, name=name, stage=stage)


def _newest(root: Path, **wanted: str) -> str | None:
    """The commit of the newest tag like this, as DVC takes it; None if that takes the version or stage back."""
    with closing(Git(str(root))) as scm:
        tags = gto.tag.find(scm=scm, **wanted)
    return None if not tags or "!" in tags[-1].name else str(tags[-1].target)
