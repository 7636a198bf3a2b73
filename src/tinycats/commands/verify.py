"""`tinycats verify`: what is a model, and is it intact?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.runtime.errors import UserError


def verify(
    models: Annotated[
        list[Path], typer.Argument(help="Directories of models or adapters, or .onnx files.", show_default=False)
    ],
) -> None:
    """Say what each model is, or what is missing or wrong; the exit code is 1 if one is not intact.

    **Examples**

    `tinycats verify models/classifier models/generator`

    `tinycats verify models/onnx/*.onnx`
    """
    intact = True
    for path in models:
        try:
            typer.echo(f"{path}: {_verify_one(path)}")
        except UserError as error:
            intact = False
            typer.echo(f"error: {error}", err=True)
    if not intact:
        raise typer.Exit(1)


def _verify_one(path: Path) -> str:
    if path.suffix == ".onnx" and not path.is_dir():
        from tinycats.verification.onnx_file import verify_onnx

        return verify_onnx(path)
    from tinycats.verification.model_directory import verify_model

    return verify_model(path)
