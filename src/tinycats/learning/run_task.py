"""One training run with all that belongs to it: its run directory, its curves, and the loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tinycats.learning.interface import Task
from tinycats.learning.loop import train
from tinycats.learning.pretrained import PretrainedModel
from tinycats.runtime.history import History
from tinycats.runtime.params import TrainingParams
from tinycats.runtime.processes import is_main
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
    output: Path,
    metrics: Path,
    finish: Callable[[nn.Module], PretrainedModel] | None = None,
) -> None:
    """Train `task`, or resume; save the averaged network, or what `finish` makes of it, to `output`.

    Checkpoints are kept in a directory below run.runs whose name has the hash of `training`, `determines` (all else that the
    result depends on, as JSON) and the files `inputs`. Curves, images and final figures go to the DVCLive directory `metrics`.
    With the constant schedule the number of steps is not in the hash: raising it resumes the run.
    """
    ignored = {"steps"} if training.schedule == "constant" else set()
    settings = {**determines, "training": training.model_dump(exclude=ignored)}
    directory = open_run(run.runs, task.name, run_key(settings, inputs))
    sink = open_sink(run.wandb, run.runs.parent / "wandb", task.name, directory.path.name, settings)
    history = History(metrics, directory.path / "images", sink)
    averaged = train(task, training, run, device, directory, history)
    model = averaged if finish is None else finish(averaged)
    assert isinstance(model, PretrainedModel)
    if is_main():
        model.save_pretrained(output)
    history.finish({"steps": task.steps, "images_seen": task.steps * training.batch_size, **task.summary()})
