"""status.json of a run: how far it is, written by the run and read by `tinycats status`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import psutil
from pydantic import BaseModel, ConfigDict, Field
from rich.console import Console
from rich.table import Table

from tinycats.runtime.files import locked, read_json, write_json
from tinycats.runtime.tables import fitting_table

STATUS_NAME = "status.json"
STALE_AFTER_S = 60.0
MAX_ETA_S = 1e9  # thirty years; a timedelta does not hold any number

State = Literal["running", "finished", "stopped", "failed"]


class Status(BaseModel):
    """`state` is what the run itself last said: a run that was killed still says that it is running (see Run.condition)."""

    model_config = ConfigDict(allow_inf_nan=False)
    stage: str
    state: State
    step: int
    steps: int
    loss: float | None
    images_per_second: float
    eta_s: Annotated[float, Field(ge=0, le=MAX_ETA_S)]
    memory_mb: float  # largest resident memory so far; on CUDA, of the device
    precision: str  # what it computes in: fp32, bf16 or fp16
    saved_step: int | None  # of the last checkpoint
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    process_started_at: float  # Unix time; tells apart another process that was given the same number
    written_at: float  # Unix time


def write_status(run: Path, **fields: Any) -> None:
    """Write the status of this process's run."""
    process = psutil.Process()
    content = {
        "pid": process.pid, "process_started_at": process.create_time(), "written_at": time.time(), **fields,
        "eta_s": min(fields["eta_s"], MAX_ETA_S),
    }  # fmt: skip
    write_json(run / STATUS_NAME, Status(**content).model_dump())


def read_status(run: Path) -> Status | None:
    """The status in a run directory; None where there is none, or one of another version."""
    try:
        return Status.model_validate(read_json(run / STATUS_NAME))
    except (FileNotFoundError, ValueError):
        return None


def is_alive(status: Status) -> bool:
    """Whether the process that wrote it still runs."""
    try:
        return abs(psutil.Process(status.pid).create_time() - status.process_started_at) < 1
    except psutil.NoSuchProcess:
        return False


class Run(NamedTuple):
    """A run directory, with its status if that can be read."""

    path: Path
    status: Status | None

    def condition(self) -> str:
        """running, finished, stopped, failed; crashed: its process is gone; stale: it runs, but has not written for a minute."""
        if self.status is None:
            return "unreadable"
        if self.status.state != "running":
            return self.status.state
        if not is_alive(self.status):
            return "crashed"
        return "stale" if time.time() - self.status.written_at > STALE_AFTER_S else "running"

    def size(self) -> int:
        """Bytes on disk."""
        size = 0
        for path in self.path.rglob("*"):
            with suppress(FileNotFoundError):  # a run replaces its files
                size += path.lstat().st_size
        return size


def find_runs(root: Path) -> list[Run]:
    """Every run of the project in `root` and of those in DVC's queue, the last written first."""
    places = (".tinycats/runs", ".dvc/tmp/exps/*/.tinycats/runs")
    paths = [path for place in places for path in root.glob(f"{place}/*") if path.is_dir()]
    runs = [Run(path, read_status(path)) for path in paths]
    return sorted(runs, key=lambda run: run.status.written_at if run.status else run.path.stat().st_mtime, reverse=True)


def prune(root: Path) -> Iterator[tuple[Run, int | None]]:
    """Delete the unfinished runs that no process has open, and yield each with its size; None for one that is open.

    A run directory without a readable status is an unfinished run too.
    """
    for run in find_runs(root):
        condition = run.condition()
        if condition == "finished":
            continue
        size = None
        if condition not in ("running", "stale"):
            # locked by a process that has opened it, but written no status yet
            with suppress(BlockingIOError), locked(run.path):
                size = run.size()
                shutil.rmtree(run.path)
        yield run, size


def status_table(console: Console, runs: list[Run], every: bool) -> Table | str:
    """A table for a terminal; where there is nothing to show, a line. With `every`, finished and unreadable runs and sizes too.

    "saved" is the step of the last checkpoint, "seen" when the run last wrote its status.
    """
    now = time.time()
    shown = [run for run in runs if every or (run.status and run.status.state != "finished")]
    if not shown:
        return f"nothing is training ({len(runs)} other runs: --all shows them)" if runs else "nothing is training"
    heads = ["stage", "run", "step", "loss", "img/s", "ETA", "memory", "saved", "seen", *(["size"] if every else [])]
    rows = []
    for run in shown:
        size = [megabytes(run.size())] if every else []
        if (status := run.status) is None:
            rows.append([run.path.name, run.condition(), *["-"] * 7, *size])
            continue
        rows.append(
            [
                status.stage,
                run.condition(),
                f"{status.step}/{status.steps}",
                "-" if status.loss is None else f"{status.loss:.4f}",
                f"{status.images_per_second:.0f}",
                _until(status.eta_s) if status.state == "running" else "-",
                f"{status.memory_mb:.0f} MB",
                "-" if status.saved_step is None else str(status.saved_step),
                f"{_ago(now - status.written_at)} ago",
                *size,
            ]
        )
    return fitting_table(console, heads, rows, less_needed=("saved", "memory", "img/s", "loss"))


def _until(seconds: float) -> str:
    days, rest = divmod(round(seconds), 24 * 3600)
    return f"{days} d {rest // 3600} h" if days else str(timedelta(seconds=rest))


def _ago(seconds: float) -> str:
    for unit, name in ((24 * 3600, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds // unit:.0f} {name}"
    return f"{seconds:.0f} s"


def megabytes(size: int) -> str:
    return f"{size / 2**20:.1f} MB"
