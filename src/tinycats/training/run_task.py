"""One training with all that belongs to it: its run directory, its curves, and the loop."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinycats.training.history import History
from tinycats.training.loop import LoopSettings, Task, train
from tinycats.training.run_directory import open_run, run_key
from tinycats.training.wandb_sink import WandbSettings, open_sink


def run_task(
    task: Task,
    loop: LoopSettings,
    device: torch.device,
    settings: dict[str, Any],
    inputs: list[Path],
    runs: Path,
    metrics: Path,
    wandb: WandbSettings | None,
) -> tuple[nn.Module, History]:
    """Train `task`, or continue; returns the averaged network and the history, which the caller finishes.

    The state is kept in a directory below `runs` whose name has the hash of `settings` and `inputs`, all that determines the
    result; a smoke run's is thrown away. Curves and pictures go to the DVCLive directory `metrics`.
    """
    key = run_key(settings, inputs)
    with tempfile.TemporaryDirectory() as scratch:
        run = open_run(Path(scratch) if loop.smoke else runs, task.name, key)
        history = History(metrics, run.path / "images", open_sink(wandb, task.name, run.path.name, settings))
        return train(task, loop, device, run, history), history
