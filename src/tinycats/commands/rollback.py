"""`tinycats rollback`: make an earlier revision on the Hugging Face Hub the current one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def rollback(
    to: Annotated[
        str,
        typer.Option(
            help="A version, a tag, a commit on the Hub, or the git revision that was published.", metavar="REV"
        ),
    ],
    repo: Annotated[
        str | None,
        typer.Option(help="user/name.  [default: publish.hub.repo_id of params.yaml, or space_id]", show_default=False),
    ] = None,
    space: Annotated[
        bool, typer.Option("--space", help="Roll back a Space instead of a repository of models.")
    ] = False,
) -> None:
    """Make an earlier revision on the Hugging Face Hub the current one.

    A new commit restores its files: nothing is lost, and the same command rolls forward again. If REV is a version, the
    models that are registered as such are in the stage prod again (see `tinycats register`).

    **Examples**

    `tinycats rollback --to v1.1.0`

    `tinycats rollback --to git-067f1b778f4e-1b2c3d4e --space`

    `tinycats rollback --to 067f1b7 --repo user/name`
    """
    from tinycats.publishing import hub
    from tinycats.releasing import registry
    from tinycats.runtime.params import check_repo_id, check_version, load_params

    key = "space_id" if space else "repo_id"
    repo_id = repo or getattr(load_params(Path("params.yaml")).publish.hub, key)
    if repo_id is None:
        raise UserError(f"params.yaml: publish.hub.{key} is not set; name the repository with --repo user/name")
    try:
        check_repo_id(repo_id)
    except ValueError as error:
        raise UserError(f"--repo: {error}") from None
    repository = hub.Repository(repo_id, "space" if space else "model")
    commit, revision = hub.rollback(repository, to)
    typer.echo(f"{repository} is now at {commit}, with the files of {revision}")
    try:
        version = check_version(to.removeprefix("v"))
    except ValueError:
        return
    if not space and (tags := registry.move_back(Path(), version)):
        typer.echo(
            f"{registry.IN_USE} is {version} again: {', '.join(tags)}; share with: {registry.push_command(tags)}"
        )
