"""What is known here of the calls on Modal: one file for each, below the state directory, so that others can attach to it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import write_json


class CallRecord(BaseModel):
    """`state` is what this end knows: a running call may have ended since."""

    model_config = ConfigDict(allow_inf_nan=False)
    name: str  # of the run: stage and a hash of all that determines it
    stage: str
    call_id: str
    app: str
    environment: str | None
    volume: str
    folder: str  # of the call, on the Volume
    inputs: list[str] = []  # digests of what it reads
    gpu: str | None
    gpus: int
    usd_per_hour: float  # of one GPU
    spawned_at: Annotated[float, Field(ge=0, lt=2**36)]  # Unix time
    state: Literal["running", "finished", "failed", "cancelled"] = "running"
    attempts: int | None = None
    seconds: float | None = None  # of all attempts at the call
    problem: str | None = None

    @property
    def gpu_seconds(self) -> float | None:
        return None if self.seconds is None else self.seconds * self.gpus

    @property
    def usd(self) -> float | None:
        """An estimate: the GPUs alone, without the time that a container takes to start."""
        return None if self.gpu_seconds is None else self.gpu_seconds / 3600 * self.usd_per_hour


def record_path(state: Path, name: str) -> Path:
    return state / "remote" / f"{name}.json"


def write_record(state: Path, record: CallRecord) -> None:
    write_json(record_path(state, record.name), record.model_dump())


def read_record(path: Path) -> CallRecord | None:
    """The record in a file; None where there is none, or one of another version."""
    try:
        return CallRecord.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def find_records(root: Path) -> list[tuple[Path, CallRecord]]:
    """State directories and records of the project in `root` and of DVC's queue, the last spawned first."""
    paths = [
        path for place in (".tinycats", ".dvc/tmp/exps/*/.tinycats") for path in root.glob(f"{place}/remote/*.json")
    ]
    found = [(path.parents[1], record) for path in paths if (record := read_record(path))]
    return sorted(found, key=lambda pair: pair[1].spawned_at, reverse=True)


def find_record(root: Path, run: str) -> tuple[Path, CallRecord]:
    """State directory and record of the run with this name, the beginning of it, or this call id. Raises UserError."""
    records = find_records(root)
    found = [pair for pair in records if run == pair[1].call_id or pair[1].name.startswith(run)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(record.name for _, record in found or records)
    raise UserError(f"{run}: {'matches several runs' if found else 'no such run'}; known runs: {names or 'none'}")
