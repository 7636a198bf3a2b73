"""Names that may have been meant."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import Path

from tinycats.runtime.errors import UserError

SHOWN = 3


def nearest_names(name: str, valid: Collection[str]) -> list[str]:
    """Up to three of the valid names, the most similar first; upper and lower case are the same."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(valid)}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=SHOWN)]


def unknown_class(name: str, classes: Collection[str]) -> str:
    """One line about an unknown class, with the most similar ones, or all if none is similar."""
    near = nearest_names(name, classes)
    hint = f"did you mean {_join(near)}?" if near else f"the classes are {', '.join(sorted(classes))}"
    return f"no class {name!r}; {hint}"


def not_found(path: Path) -> str:
    """One line about a missing file, with the most similar ones in its directory."""
    near = nearest_names(path.name, [p.name for p in path.parent.iterdir()]) if path.parent.is_dir() else []
    return "not found" + (f"; did you mean {_join([str(path.parent / name) for name in near])}?" if near else "")


def require_model(path: Path, option: str = "--model") -> None:
    """Raise UserError if a model, which `option` names, is missing: in a fresh clone the pipeline has to make it first."""
    if not path.exists():
        raise UserError(
            f"{path}: {not_found(path)}; `dvc repro` or `dvc pull` brings the models, {option} names another"
        )


def require_adapter(path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path}: {not_found(path)}; `tinycats adapt` makes adapters")


def _join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
