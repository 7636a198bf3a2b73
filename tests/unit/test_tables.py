"""Tables of `tinycats status`, `runs` and `data` in a terminal of 80 columns."""

from __future__ import annotations

import io
import time
from pathlib import Path

import pytest
from rich.console import Console

from tinycats.runtime.status import find_runs, status_table, write_status
from tinycats.runtime.tables import fitting_table

HEADS = ("name", "state", "number", "call")
ROWS = [("first [b]", "done", "1", "x" * 20), ("second", "failed", "12", "y" * 20)]


def printed(table: object, width: int, terminal: bool = True) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=terminal, no_color=True)
    made = table(console) if callable(table) else table
    console.print(made, crop=False)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [line.replace("\x1b[1m", "").replace("\x1b[0m", "").rstrip() for line in lines]


@pytest.mark.parametrize(
    ("width", "heads"),
    [(80, "name state number call"), (40, "name state number"), (22, "name state")],
)
def test_columns_that_do_not_fit_are_left_out(width: int, heads: str) -> None:
    lines = printed(lambda console: fitting_table(console, HEADS, ROWS, ("call", "number")), width)
    assert lines[0].split() == heads.split()
    assert len(lines) == 3  # no row is broken
    assert max(map(len, lines)) <= width
    assert lines[1].startswith(" first [b]")


def test_names_that_fit_nowhere_are_broken() -> None:
    lines = printed(lambda console: fitting_table(console, HEADS, ROWS, ("call",)), 16)
    assert max(map(len, lines)) <= 16
    assert "call" not in lines[0]
    assert len(lines) > 3


def test_a_file_has_room_for_all() -> None:
    lines = printed(lambda console: fitting_table(console, HEADS, ROWS, ("call", "number")), 22, terminal=False)
    assert lines[0].split() == [*HEADS]
    assert lines[2].split() == [*ROWS[1]]


@pytest.mark.parametrize("every", [False, True])
def test_the_status_of_long_runs_fits_into_80_columns(tmp_path: Path, every: bool, monkeypatch) -> None:
    written = time.time()
    for number, state in enumerate(("running", "finished")):
        run = tmp_path / f".tinycats/runs/{number}"
        run.mkdir(parents=True)
        write_status(
            run, stage="train_classifier", state=state, step=123456, steps=400000, loss=0.12345, images_per_second=12345.6,
            eta_s=400000.0, memory_mb=73123.0, precision="bf16", saved_step=120000,
        )  # fmt: skip
    monkeypatch.setattr("tinycats.runtime.status.time.time", lambda: written + 5.5 * 24 * 3600)
    lines = printed(lambda console: status_table(console, find_runs(tmp_path), every), 80)
    assert len(lines) == (3 if every else 2)
    assert max(map(len, lines)) <= 80
    for word in ("train_classifier", "123456/400000", "4 d 15 h", "5 d ago"):
        assert word in "\n".join(lines)
    assert ("size" in lines[0]) == every
