"""Where a model is that nobody named: what was trained here, or else what came with the repository."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from tinycats.releasing.pretrained import PRETRAINED, released_model
from tinycats.runtime.errors import UserError

ModelName = Literal["classifier", "generator", "student"]


def project_root() -> Path:
    """The nearest folder with a dvc.yaml, here or above, relative to here; the working directory where there is none."""
    here = Path.cwd()
    found = next((folder for folder in (here, *here.parents) if (folder / "dvc.yaml").is_file()), here)
    return Path(os.path.relpath(found))


def own_model(name: ModelName, onnx: bool = False) -> Path:
    """Where the pipeline leaves this model in the project: a directory, or an .onnx file. It need not exist."""
    return project_root() / "models" / (f"onnx/{name}.onnx" if onnx else name)


def usual_model(name: ModelName, onnx: bool = False) -> Path:
    """`own_model`, or the int8 one of pretrained/ where that does not exist.

    Raises UserError where pretrained/ is damaged, or where there is neither, nor a project.
    """
    root = project_root()
    own, released = own_model(name, onnx), root / PRETRAINED
    if own.exists():
        return own
    if released.exists():
        return released_model(released, name)
    if not (root / "dvc.yaml").is_file():
        advice = "go into one, where `dvc repro` or `dvc pull` brings it, or name a model"
        raise UserError(f"{own}: not found, and no project is here or above; {advice}")
    return own
