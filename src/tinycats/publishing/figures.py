"""The numbers in nested metrics as text, each with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flatten_dict import flatten


class Figure(NamedTuple):
    """`path`: its keys; `interval`: "low to high", empty where there is none."""

    path: tuple[str, ...]
    value: str
    interval: str


def figures(metrics: Mapping[str, Any]) -> Iterator[Figure]:
    """Every number but the ends of intervals, NAME_low and NAME_high, which belong to NAME."""
    numbers = {
        path: value
        for path, value in flatten(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    for path, value in numbers.items():
        *parents, name = path
        if name.endswith(("_low", "_high")) and (*parents, name.rsplit("_", 1)[0]) in numbers:
            continue
        ends = [numbers.get((*parents, f"{name}_{end}")) for end in ("low", "high")]
        interval = "" if None in ends else " to ".join(show(end) for end in ends if end is not None)
        yield Figure(path, show(value), interval)


def show(value: float) -> str:
    """A whole number in full, another one with four digits."""
    return str(value) if isinstance(value, int) else f"{value:.4g}"
