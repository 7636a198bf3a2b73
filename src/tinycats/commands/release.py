"""`tinycats release`: the published models as a folder for git."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.releasing.pretrained import PRETRAINED


def release(
    folder: Annotated[Path, typer.Argument(help="The folder, which is replaced.", metavar="DIR")] = PRETRAINED,
    generators: Annotated[bool, typer.Option("--generators", help="Release generator and student too.")] = False,
) -> None:
    """Write the published classifier, and with --generators those too, into a folder that is small enough for git.

    The models are in int8, with card, metrics and parameters.

    The run must be published, and params.yaml unchanged since. The folder has at most 20 MB, and no image of the data.

    **Examples**

    `tinycats release`

    `tinycats release elsewhere --generators`
    """
    from tinycats.releasing.release import release as write

    total = write(Path(), folder, generators)
    typer.echo(f"{folder}: {total / 1e6:.1f} MB; commit it")
