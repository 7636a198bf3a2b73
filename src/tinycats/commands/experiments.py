"""`tinycats experiments`: what the pipeline measured, now and before, for the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def experiments(
    out: Annotated[Path, typer.Option(help="The directory to write; it is replaced.", show_default=False)],
    revisions: Annotated[int, typer.Option(min=1, help="As many commits, and as many experiments, at most.")] = 10,
    root: Annotated[Path, typer.Option(help="The project's directory.")] = Path(),
) -> None:
    """Write experiments.json and its pictures: metrics, parameters, curves, confusion and sample grids by revision.

    Revisions are the workspace, where its metrics/ differs from what is committed, the last commits that changed
    metrics/, and the last experiments of `dvc exp run`. What a revision does not have is absent.

    **Example**

    `tinycats experiments --out frontend/public/experiments`
    """
    from tinycats.experiments.report import REPORT_NAME, write_report
    from tinycats.experiments.revisions import find_revisions
    from tinycats.runtime.files import atomic_directory

    out = out.resolve()
    if out.exists() and not (out / REPORT_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not a directory that this command wrote; give one that is new or empty")
    found = find_revisions(root, revisions)
    with atomic_directory(out) as temporary:
        written = write_report(found, temporary)
    for line in written.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{out / REPORT_NAME}: {_count(len(found), 'revision')}, {_count(written.images, 'picture')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
