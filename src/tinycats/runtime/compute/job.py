"""A job: what a stage runs, here or elsewhere. Where it runs cannot change what comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinycats.runtime.track import naming


@dataclass(frozen=True)
class Job:
    """`function(**inputs, **outputs, **arguments)`: paths are relative to the working directory, all else is plain values.

    The function reads `inputs`, writes `outputs` (files or directories) and keeps what it needs to resume after an interruption
    in `state`/runs. A check takes the path of the output of its name and raises UserError where that is not what it should be.
    """

    stage: str
    function: Callable[..., None]
    inputs: dict[str, Path]
    outputs: dict[str, Path]
    arguments: dict[str, Any]
    state: Path
    processes: int | None = 1  # that share it; None: one for each GPU
    checks: dict[str, Callable[[Path], object]] = field(default_factory=dict)


def run_here(job: Job) -> None:
    """Run the job on this machine."""
    arguments = {**job.inputs, **job.outputs, **job.arguments}
    processes = job.processes or _gpus()
    if processes == 1:
        with naming(job.stage):
            job.function(**arguments)
    else:
        from tinycats.runtime.compute.launch import launch  # torchrun takes a while to import

        launch(processes, job.function, arguments)


def _gpus() -> int:
    """How many processes share a job by default."""
    import torch

    return max(torch.cuda.device_count(), 1)
