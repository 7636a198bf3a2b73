"""One training run with all that belongs to it: its run directory, its curves, and the loop."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinycats.learning.loop import Task, train
from tinycats.runtime.history import History
from tinycats.runtime.params import TrainingParams
from tinycats.runtime.run_directory import open_run, run_key
from tinycats.runtime.run_settings import RunSettings
from tinycats.runtime.wandb_sink import open_sink


def run_task(
    task: Task,
    training: TrainingParams,
    run: RunSettings,
    device: torch.device,
    determines: Mapping[str, Any],
    inputs: list[Path],
    metrics: Path,
) -> tuple[nn.Module, History]:
    """Train `task`, or resume; return the averaged network and the history, which the caller finishes.

    Checkpoints are kept in a directory below run.runs whose name has the hash of `training`, `determines` (all else that the
    result depends on, as JSON) and the files `inputs`. Curves and images go to the DVCLive directory `metrics`. With the
    constant schedule the number of steps is not in the hash: raising it resumes the run.
    """
    ignored = {"steps"} if training.schedule == "constant" else set()
    settings = {**determines, "training": training.model_dump(exclude=ignored)}
    directory = open_run(run.runs, task.name, run_key(settings, inputs))
    sink = open_sink(run.wandb, run.runs.parent / "wandb", task.name, directory.path.name, settings)
    history = History(metrics, directory.path / "images", sink)
    return train(task, training, run, device, directory, history), history
