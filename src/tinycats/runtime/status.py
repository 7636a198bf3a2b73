"""status.json of a run: how far it is, written by the run and read by `tinycats status`."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import psutil
from pydantic import BaseModel
from rich.table import Table

from tinycats.runtime.files import read_json, write_json

STATUS_NAME = "status.json"
STALE_AFTER_S = 60.0

State = Literal["running", "finished", "stopped", "failed"]


class Status(BaseModel):
    """`state` is what the run itself last said: a run that was killed still says that it is running (see `condition`)."""

    stage: str
    state: State
    step: int
    steps: int
    loss: float | None
    images_per_second: float
    eta_s: float
    memory_mb: float  # largest resident memory so far; on CUDA, of the device
    precision: str  # what it computes in: fp32, bf16 or fp16
    saved_step: int | None  # of the last state that was written
    pid: int
    process_started_at: float  # Unix time; tells apart another process that was given the same number
    written_at: float  # Unix time


def write_status(run: Path, **fields: Any) -> None:
    """Write the status of this process's run."""
    process = psutil.Process()
    content = {
        "pid": process.pid, "process_started_at": process.create_time(), "written_at": time.time(), **fields,
    }  # fmt: skip
    write_json(run / STATUS_NAME, Status(**content).model_dump())


def read_status(run: Path) -> Status | None:
    """The status in a run directory; None where there is none, or one of another version."""
    try:
        return Status.model_validate(read_json(run / STATUS_NAME))
    except (FileNotFoundError, ValueError):
        return None


def is_alive(status: Status) -> bool:
    """Whether the process that wrote it is still there."""
    try:
        return abs(psutil.Process(status.pid).create_time() - status.process_started_at) < 1
    except psutil.NoSuchProcess:
        return False


def condition(status: Status, now: float) -> str:
    """running, finished, stopped, failed; crashed: its process is gone; stale: it is there, but has not written for a minute."""
    if status.state != "running":
        return status.state
    if not is_alive(status):
        return "crashed"
    return "stale" if now - status.written_at > STALE_AFTER_S else "running"


def find_runs(root: Path) -> list[Status]:
    """The status of every run of the project in `root` and of those in DVC's queue, the last written first."""
    directories = [
        path.parent
        for place in (".tinycats/runs", ".dvc/tmp/exps/*/.tinycats/runs")
        for path in root.glob(f"{place}/*/{STATUS_NAME}")
    ]
    found = [status for status in map(read_status, directories) if status is not None]
    return sorted(found, key=lambda status: status.written_at, reverse=True)


def status_table(runs: list[Status], finished_too: bool) -> Table | str:
    """A table for a terminal; where there is nothing to show, a line.

    "saved" is the step of the last state, "seen" when the run last wrote its status.
    """
    now = time.time()
    shown = [run for run in runs if finished_too or run.state != "finished"]
    if not shown:
        return f"nothing is training ({len(runs)} finished: --all shows them)"
    table = Table(box=None)
    for name in ("stage", "run", "step", "loss", "img/s", "ETA", "memory", "saved", "seen"):
        table.add_column(name, no_wrap=name in ("stage", "run", "step"))
    for run in shown:
        table.add_row(
            run.stage,
            condition(run, now),
            f"{run.step}/{run.steps}",
            "-" if run.loss is None else f"{run.loss:.4f}",
            f"{run.images_per_second:.0f}",
            str(timedelta(seconds=round(run.eta_s))) if run.state == "running" else "-",
            f"{run.memory_mb:.0f} MB",
            "-" if run.saved_step is None else str(run.saved_step),
            f"{now - run.written_at:.0f} s ago",
        )
    return table
