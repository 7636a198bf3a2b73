"""CSV files for `dvc plots` and for people, who may open them in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

FORMULA_STARTS = ("=", "+", "-", "@")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: object) -> object:
    """With an apostrophe before text that a spreadsheet would compute: names come from anywhere."""
    if not isinstance(value, str) or not value.startswith(FORMULA_STARTS):
        return value
    with suppress(ValueError):
        float(value)
        return value
    return f"'{value}"


def text_of(cell: str) -> str:
    """What was written into a cell."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell
