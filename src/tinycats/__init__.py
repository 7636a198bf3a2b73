"""tinycats: from labelled photos to a breed classifier and a small image generator.

The names here are the stable ones: docs/python.md. Each is imported when it is first used, so that `import tinycats` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinycats.api.classifier import Classifier, Prediction
    from tinycats.api.generator import Generator
    from tinycats.api.images import load_images
    from tinycats.api.pipeline import new_project, run_experiment
    from tinycats.figures.sheets import captioned_sheet, class_grid
    from tinycats.runtime.errors import UserError

__all__ = [
    "Classifier",
    "Generator",
    "Prediction",
    "UserError",
    "captioned_sheet",
    "class_grid",
    "load_images",
    "new_project",
    "run_experiment",
]

_MODULES = {
    "Classifier": "tinycats.api.classifier",
    "Generator": "tinycats.api.generator",
    "Prediction": "tinycats.api.classifier",
    "UserError": "tinycats.runtime.errors",
    "captioned_sheet": "tinycats.figures.sheets",
    "class_grid": "tinycats.figures.sheets",
    "load_images": "tinycats.api.images",
    "new_project": "tinycats.api.pipeline",
    "run_experiment": "tinycats.api.pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module 'tinycats' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
