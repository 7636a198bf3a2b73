"""`tinycats register`: a version of models, and the stage that it is in, as git tags."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def register(
    names: Annotated[list[str], typer.Argument(help="Of `artifacts` in dvc.yaml.", metavar="NAME...")],
    version: Annotated[str, typer.Option(help="Such as 1.2.0.", metavar="VERSION")],
    stage: Annotated[str | None, typer.Option(help="Where the version is used, such as prod.")] = None,
    rev: Annotated[
        str | None, typer.Option(help="The commit whose dvc.lock has the models.  [default: HEAD]", show_default=False)
    ] = None,
) -> None:
    """Give the models of a commit a version, and say where it is used, for `dvc artifacts get`.

    Makes the git tags NAME@vVERSION and NAME#STAGE#N and pushes nothing. A version that is registered already keeps its
    commit; with a stage, the stage moves to it.

    **Examples**

    `tinycats register classifier --version 1.2.0 --stage prod`

    `tinycats register classifier generator student --version 1.2.0 --rev 067f1b7`
    """
    from tinycats.releasing import registry
    from tinycats.runtime.params import check_version

    try:
        check_version(version)
    except ValueError as error:
        raise UserError(f"--version: {error}") from None
    if stage == "":
        raise UserError("--stage: must be a name, such as prod, got ''")
    tags = registry.register(Path(), names, version, stage, rev)
    if not tags:
        typer.echo(f"{', '.join(names)}: {version} is registered already" + (f", and in {stage}" if stage else ""))
    else:
        typer.echo(f"tagged {', '.join(tags)}; share with: {registry.push_command(tags)}")
