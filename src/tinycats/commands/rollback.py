"""`tinycats rollback`: make an earlier revision on the Hugging Face Hub the current one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def rollback(
    to: Annotated[
        str,
        typer.Option(help="A tag, a commit on the Hub, or the git revision that was published.", metavar="REV"),
    ],
    repo: Annotated[
        str | None,
        typer.Option(help="user/name.  [default: publish.hub.repo_id of params.yaml]", show_default=False),
    ] = None,
) -> None:
    """Make an earlier revision on the Hugging Face Hub the current one.

    A new commit restores its files: nothing is lost, and the same command rolls forward again.

    **Examples**

    `tinycats rollback --to git-067f1b778f4e-1b2c3d4e`

    `tinycats rollback --to 067f1b7 --repo user/name`
    """
    from tinycats.publishing import hub
    from tinycats.runtime.params import check_repo_id, load_params

    repo_id = repo or load_params(Path("params.yaml")).publish.hub.repo_id
    if repo_id is None:
        raise UserError("params.yaml: publish.hub.repo_id is not set; name the repository with --repo user/name")
    try:
        check_repo_id(repo_id)
    except ValueError as error:
        raise UserError(f"--repo: {error}") from None
    commit, revision = hub.rollback(repo_id, to)
    typer.echo(f"{repo_id} is now at {commit}, with the files of {revision}")
