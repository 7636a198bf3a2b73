"""`tinycats share`: what `dvc push --run-cache` leaves out."""

from __future__ import annotations

from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def share(
    name: Annotated[
        str | None, typer.Argument(help="The remote.  [default: DVC's default remote]", show_default=False)
    ] = None,
) -> None:
    """Push every run of this machine, so that `dvc repro --pull` elsewhere need not repeat any of them.

    `dvc push --run-cache` pushes the records of all runs, but only the files of the current one, and not its metrics:
    stages with metrics would still run again.

    **Example**

    `tinycats share`
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo() as repo, repo.lock:
            runs = repo.stage_cache.push(name)
            used = repo.stage_cache.get_used_objs(runs, remote=name)
            files = {file for group in used.values() for file in group if repo.cache.local.exists(file.value)}
            result = repo.cloud.push(files, remote=name)
    except (DvcException, OSError) as error:
        raise UserError(f"remote: {' '.join(str(error).split())}; `tinycats remote` says more") from None
    if result.failed:
        raise UserError(f"{len(result.failed)} of {len(files)} files were not pushed; run this again")
    typer.echo(f"{len(runs)} runs are shared, {len(result.transferred)} files were pushed")
