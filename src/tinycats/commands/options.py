"""Options that several commands have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinycats.runtime.errors import UserError

if TYPE_CHECKING:
    from tinycats.api.models import ModelName


def _existing(root: Path) -> Path:
    if root == Path():
        from tinycats.api.models import project_root

        return project_root()
    if not root.is_dir():
        problem = "is no directory" if root.exists() else "not found"
        raise UserError(f"{root}: {problem}; name the project's with --root")
    return root


Root = Annotated[
    Path,
    typer.Option(help="The project's directory.  [default: here or above]", callback=_existing, show_default=False),
]


def model_or_usual(model: Path | None, name: ModelName, onnx: bool = False) -> Path:
    """What --model names, else the usual model; where that is not the project's own, a line says so."""
    from tinycats.api.models import own_model, usual_model

    path = model or usual_model(name, onnx)
    if model is None and path != (own := own_model(name, onnx)):
        typer.echo(f"{own}: not found; uses {path} (`make repro` trains another)", err=True)
    return path
