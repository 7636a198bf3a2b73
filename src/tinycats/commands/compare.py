"""`tinycats compare`: what got better or worse since a commit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.commands.options import Root


def compare(
    base: Annotated[str, typer.Argument(help="A commit, branch or tag to compare with.", show_default=False)],
    root: Root = Path(),
) -> None:
    """Say what the figures in metrics/ do better or worse than those of a commit, as Markdown.

    Those that differ by more than their intervals come first. Of figures that are a matter of taste, and of times, nothing is
    said: `dvc metrics diff` has them all.

    **Example**

    `tinycats compare main`
    """
    from tinycats.experiments.compare import markdown
    from tinycats.experiments.revisions import committed, workspace

    typer.echo(markdown(committed(root, base), workspace(root)))
