"""Names that may have been meant."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tinycats.runtime.errors import UserError
from tinycats.runtime.words import did_you_mean, nearest_names
from tinycats.sources.names import tidy_name


def unknown_class(name: str, classes: Collection[str]) -> str:
    """One line about an unknown class, with the most similar ones, or all if none is similar."""
    near = nearest_names(name, classes)
    return f"no class {name!r}" + (did_you_mean(near) or f"; the classes are {', '.join(sorted(classes))}")


def class_named(name: str, classes: Collection[str], option: str) -> str:
    """The class that was typed, in whatever form its letters came. Raises UserError naming the option where there is none."""
    if name in classes:
        return name
    found = [candidate for candidate in classes if tidy_name(candidate) == tidy_name(name)]
    if len(found) != 1:
        raise UserError(f"{option}: {unknown_class(name, classes)}")
    return found[0]


def not_found(path: Path) -> str:
    """One line about a missing file, with the most similar ones in its directory."""
    if path.is_symlink():
        return "is a link to nothing"
    near = nearest_names(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else []
    return "not found" + did_you_mean([str(path.parent / name) for name in near])


def require_model(path: Path, option: str | None = None) -> None:
    """Raise UserError if a model is missing, which an option names: in a fresh clone the pipeline has to make it first."""
    if not path.exists():
        another = f", {option} names another" if option else ""
        raise UserError(f"{path}: {not_found(path)}; `dvc repro` or `dvc pull` brings the models{another}")
    if path.is_file() and path.suffix != ".onnx":
        raise UserError(f"{path}: is no model: neither a model directory nor an .onnx file")


def require_adapter(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: {not_found(path)}; `tinycats adapt` makes adapters")
