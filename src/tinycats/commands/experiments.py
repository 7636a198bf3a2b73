"""`tinycats experiments`: what the pipeline measures and has measured, for the web page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.commands.options import Root
from tinycats.runtime.errors import UserError


def experiments(
    out: Annotated[Path, typer.Option(help="The directory to write; it is replaced.", show_default=False)],
    revisions: Annotated[int, typer.Option(min=1, help="At most so many commits and so many experiments.")] = 10,
    root: Root = Path(),
) -> None:
    """Write experiments.json and its images: metrics, parameters, curves, confusion and sample grids by revision.

    Revisions are the workspace, if its metrics/ differs from what is committed, the last commits that changed metrics/,
    and the last experiments of `dvc exp run`. What a revision does not have is absent.

    **Example**

    `tinycats experiments --out frontend/public/experiments`
    """
    from tinycats.experiments.report import REPORT_NAME, write_report
    from tinycats.experiments.revisions import find_revisions
    from tinycats.runtime.files import atomic_directory

    out = out.resolve()
    if out.exists() and not (out / REPORT_NAME).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: is not a directory that this command wrote; choose a new or empty one")
    found = find_revisions(root, revisions)
    with atomic_directory(out) as temporary:
        written = write_report(found, temporary)
    for line in written.left_out:
        typer.echo(f"left out: {line}", err=True)
    typer.echo(f"{out / REPORT_NAME}: {_count(len(found), 'revision')}, {_count(written.images, 'image')}")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
