"""A folder as a repository of the Hugging Face Hub, of models or a Space: a new revision appears whole, in one commit, or not
at all.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationCopy, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import parse_ratelimit_headers
from huggingface_hub.utils.sha import git_hash

from tinycats.publishing.layout import CARD_NAME, MANIFEST_NAME, SPACE_MODELS
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.files import file_hash
from tinycats.runtime.words import some

BRANCH = "main"
OF_THE_HUB = ".gitattributes"  # the Hub writes it itself
ATTEMPTS = 6
FIRST_WAIT_S = 1.0  # doubled for each further attempt
LONGEST_WAIT_S = 600.0  # the Hub counts requests in windows of five minutes
RETRIED = (408, 412, 429, 500, 502, 503, 504)
SHORTEST_COMMIT = 7
SHOWN = 5
OF_A_NEW_SPACE = {CARD_NAME, "index.html", "style.css"}  # what the Hub may put into a static one when it creates it
T = TypeVar("T")
Operation = CommitOperationAdd | CommitOperationCopy | CommitOperationDelete


@dataclass(frozen=True)
class Repository:
    """user/name on the Hub: a model and a Space may have the same name."""

    repo_id: str
    kind: Literal["model", "space"] = "model"

    @property
    def manifest(self) -> str:
        """The file without which the repository was not made by this pipeline."""
        return MANIFEST_NAME if self.kind == "model" else f"{SPACE_MODELS}/{MANIFEST_NAME}"

    @property
    def param(self) -> str:
        return "publish.hub.repo_id" if self.kind == "model" else "publish.hub.space_id"

    def __str__(self) -> str:
        return self.repo_id if self.kind == "model" else f"spaces/{self.repo_id}"


def upload(folder: Path, repository: Repository, tag: str, private: bool, version: str | None = None) -> str:
    """Make `main` of the repository hold exactly the files of `folder`; return the hash of the commit that does.

    It is one commit, tagged `tag` and, if there is a version, `vVERSION`. The repository is created if there is none;
    nothing is sent if it already holds the folder. The token is HF_TOKEN's or that of `hf auth login`.

    Raises UserError if the Hub refuses or cannot be reached, or has other models as this version. `main` is then unchanged,
    or the commit is complete and only its tags are missing, which the next call makes.
    """
    api = _api(repository)
    here = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def operations(head: str) -> list[Operation]:
        there = _files(api, repository, head)
        if repository.manifest not in there and not _is_new(api, repository, there):
            raise UserError(
                f"{repository.param}: {repository} holds something else ({some(sorted(there), SHOWN)}); name another one"
            )
        changed = [path for path in here if path not in there or not _is_same(here[path], there[path])]
        return [
            *(CommitOperationAdd(path, here[path]) for path in changed),
            *(CommitOperationDelete(path, is_folder=False) for path in there if path not in here),
        ]

    repo_id, kind = repository.repo_id, repository.kind
    tags = [tag, version_tag(version)] if version else [tag]
    with _explained_errors(api, repository):
        try:
            _retry(lambda: api.repo_info(repo_id, repo_type=kind))
        except RepositoryNotFoundError:
            sdk = "static" if kind == "space" else None
            _retry(lambda: api.create_repo(repo_id, repo_type=kind, space_sdk=sdk, private=private, exist_ok=True))
        if version and kind == "model":
            there = _tags(api, repository).get(version_tag(version))
            if there and _retry(lambda: operations(there)):
                raise UserError(
                    f"{repository}: has other models as version {version}, at {there}; give these another one"
                )
        commit, is_new = _commit(api, repository, operations, f"Publish {tag}")
        for name in tags:
            _retry(partial(api.create_tag, repo_id, repo_type=kind, tag=name, revision=commit, exist_ok=True))
    print(f"{repository} {'is now' if is_new else 'was already'} at {commit}, tagged {' and '.join(tags)}")
    return commit


def version_tag(version: str) -> str:
    """What the Hub's tag of a version is called."""
    return f"v{version}"


def rollback(repository: Repository, to: str) -> tuple[str, str]:
    """Make `main` hold the files of an earlier revision again, in a new commit; return its hash and the revision's.

    to: a tag, or the first digits of a commit of the repository or of the git revision that a tag names.
    Raises UserError if there is no such revision, or as `upload` does.
    """
    api = _api(repository)
    with _explained_errors(api, repository):
        revision = _find(api, repository, to)
        wanted = _retry(lambda: _files(api, repository, revision))
        if repository.manifest not in wanted:
            raise UserError(f"{repository}: {to} has no published models (it has no {repository.manifest})")

        def operations(head: str) -> list[Operation]:
            there = _files(api, repository, head)
            changed = [path for path in wanted if path not in there or there[path].blob_id != wanted[path].blob_id]
            return [
                *(CommitOperationCopy(path, path, src_revision=revision) for path in changed),
                *(CommitOperationDelete(path, is_folder=False) for path in there if path not in wanted),
            ]

        commit, _ = _commit(api, repository, operations, f"Roll back to {to}")
    return commit, revision


def _api(repository: Repository) -> HfApi:
    if get_token() is None:
        raise UserError(
            f"{repository}: no token for the Hugging Face Hub; set HF_TOKEN or run `hf auth login` (write access is needed)"
        )
    return HfApi(library_name="tinycats")


def _is_new(api: HfApi, repository: Repository, there: Mapping[str, RepoFile]) -> bool:
    """Whether nobody has put anything into the repository, as far as its files and commits say."""
    if repository.kind == "model":
        return not set(there) - {CARD_NAME}
    return not there or (
        not set(there) - OF_A_NEW_SPACE
        and len(api.list_repo_commits(repository.repo_id, repo_type=repository.kind, revision=BRANCH)) == 1
    )


def _commit(
    api: HfApi, repository: Repository, operations: Callable[[str], list[Operation]], message: str
) -> tuple[str, bool]:
    """Return the commit of `main` that leaves `operations` nothing to do, and whether it had to be made.

    Each attempt looks at `main` first and commits onto what it saw, so that a commit whose answer was lost is not repeated.
    """
    start = None
    repo_id, kind = repository.repo_id, repository.kind

    def attempt() -> str:
        nonlocal start
        head = str(api.repo_info(repo_id, repo_type=kind, revision=BRANCH).sha)
        missing = operations(head)
        if not missing:
            return head
        start = start or head
        if head != start:
            raise UserError(f"{repository}: another commit, {head}, was made in the meantime; run this again")
        return api.create_commit(
            repo_id, missing, repo_type=kind, commit_message=message, revision=BRANCH, parent_commit=head
        ).oid

    commit = _retry(attempt)
    if start and (missing := _retry(lambda: operations(commit))):
        paths = some(sorted(operation.path_in_repo for operation in missing), SHOWN)
        raise UserError(f"{repository}: commit {commit} is not what was sent ({paths}); run this again")
    return commit, start is not None


def _files(api: HfApi, repository: Repository, revision: str) -> dict[str, RepoFile]:
    entries = api.list_repo_tree(repository.repo_id, repo_type=repository.kind, recursive=True, revision=revision)
    return {entry.path: entry for entry in entries if isinstance(entry, RepoFile) and entry.path != OF_THE_HUB}


def _is_same(path: Path, file: RepoFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    return file_hash(path) == file.lfs.sha256 if file.lfs else git_hash(path.read_bytes()) == file.blob_id


def _tags(api: HfApi, repository: Repository) -> dict[str, str]:
    """Name -> commit."""
    refs = _retry(lambda: api.list_repo_refs(repository.repo_id, repo_type=repository.kind))
    return {ref.name: ref.target_commit for ref in refs.tags}


def _find(api: HfApi, repository: Repository, to: str) -> str:
    """The commit that `to` names."""
    tags = _tags(api, repository)
    if to in tags:
        return tags[to]
    if len(to) >= SHORTEST_COMMIT:
        named = [name for name in tags if name.removeprefix("git-").startswith(to[:12].lower())]
        if len(named) > 1:
            raise UserError(f"{repository}: {to} was published more than once; name one of {', '.join(sorted(named))}")
        if named:
            return tags[named[0]]
        repo_id, kind = repository.repo_id, repository.kind
        for commit in _retry(lambda: api.list_repo_commits(repo_id, repo_type=kind, revision=BRANCH)):
            if commit.commit_id.startswith(to.lower()):
                return commit.commit_id
    raise UserError(f"{repository}: has no revision {to}; its tags: {some(sorted(tags), SHOWN) or 'none'}")


def _retry(call: Callable[[], T]) -> T:
    """Repeat a call after a lost connection, an overloaded server or too many requests, when the Hub asks to."""
    wait_s = FIRST_WAIT_S
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call()
        except (HTTPError, json.JSONDecodeError) as error:  # an overloaded server may answer in HTML
            status = _status(error)
            pause_s = _asked_to_wait_s(error) or wait_s
            if status not in (None, *RETRIED) or attempt == ATTEMPTS or pause_s > LONGEST_WAIT_S:
                raise
            what = f"answered {status}" if status else f"cannot be reached ({_said(error)})"
            print(f"the Hub {what}; attempt {attempt + 1} of {ATTEMPTS} in {pause_s:g} s", file=sys.stderr)
            time.sleep(pause_s)
            wait_s *= 2
    raise AssertionError(ATTEMPTS)


def _status(error: Exception) -> int | None:
    """The HTTP status of the answer; None if there was no proper one."""
    return error.response.status_code if isinstance(error, HfHubHTTPError) else None


def _asked_to_wait_s(error: Exception) -> float | None:
    if not isinstance(error, HfHubHTTPError):
        return None
    limit = parse_ratelimit_headers(error.response.headers)
    if limit and limit.remaining == 0:
        return limit.reset_in_seconds + 1.0
    after = error.response.headers.get("Retry-After", "")
    return float(after) if after.isdigit() else None


@contextmanager
def _explained_errors(api: HfApi, repository: Repository) -> Iterator[None]:
    try:
        yield
    except OfflineModeIsEnabled:
        raise UserError(f"{repository}: the Hub is not used while HF_HUB_OFFLINE is set") from None
    except (HTTPError, RuntimeError, ValueError) as error:  # RuntimeError and ValueError: from uploads of large files
        cause: Exception = error
        while not isinstance(cause, HTTPError) and isinstance(cause.__cause__, Exception):
            cause = cause.__cause__
        raise UserError(f"{repository}: {_explain(api, cause)}") from None


def _explain(api: HfApi, error: Exception) -> str:
    if isinstance(error, RepositoryNotFoundError):
        return "no such repository on the Hub, or the token cannot see it"
    if isinstance(error, RevisionNotFoundError):
        return "no such revision on the Hub"
    match _status(error):
        case None if isinstance(error, HTTPError):
            return f"the Hub cannot be reached ({_said(error)}); nothing is half published, run this again"
        case 401:
            return "the Hub does not accept the token; make a new one, set HF_TOKEN or run `hf auth login`"
        case 403:
            return f"{_who(api)} may not write to it; use a token with write access"
        case 429:
            asked_s = _asked_to_wait_s(error)
            when = f"in {asked_s:g} s" if asked_s else "later"
            return f"the Hub accepts no more requests for now (429); nothing is half published: run this again {when}"
        case _:
            return f"the Hub refuses: {_said(error)}"


def _who(api: HfApi) -> str:
    try:
        user = api.whoami()
        return f"the token of {user['name']} (role: {user['auth']['accessToken']['role']})"
    except (HTTPError, KeyError, ValueError):  # it is only a detail of a message
        return "the token"


def _said(error: Exception) -> str:
    """What the Hub says about it, or else the client."""
    return " ".join((getattr(error, "server_message", None) or first_line(error)).split())
