"""Options that several commands have, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from tinycats.api.models import ModelName

Root = Annotated[Path, typer.Option(help="The project's directory.")]
MAX_SEED = 2**63 - 1  # that torch takes


def model_or_usual(model: Path | None, name: ModelName, onnx: bool = False) -> Path:
    """What --model names, else the usual model; where that is not the project's own, a line says so."""
    from tinycats.api.models import own_model, usual_model

    path = model or usual_model(name, onnx)
    if model is None and path != (own := own_model(name, onnx)):
        typer.echo(f"{own}: not found; uses {path} (`make repro` trains another)", err=True)
    return path
