"""What benchmarks of training share: the parameters of conf/, random images, and a run of the loop that leaves nothing behind."""

from __future__ import annotations

import math
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
import yaml

from machine import ROOT
from tinycats.commands.params import compose
from tinycats.data.processed import Split
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.learning.interface import Task
from tinycats.learning.loop import train
from tinycats.runtime.history import History
from tinycats.runtime.params import DitParams, Params, TrainingParams, parse_params
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.run_settings import RunSettings

CLASSES = [str(label) for label in range(13)]  # as many as the default data has


@cache
def composed(*overrides: str) -> Params:
    """The parameters that conf/ composes with these overrides, whatever is in params.yaml."""
    return parse_params(yaml.safe_load(compose(ROOT, list(overrides))), "conf")


def new_generator(network: DitParams) -> TinyDiT:
    return TinyDiT(TinyDiTConfig(classes=CLASSES, **network.model_dump()))


def random_images(size: int, count: int = 256) -> Split:
    images = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    return Split(images, np.arange(count) % len(CLASSES), [f"{row}.png" for row in range(count)])


def train_in_scratch(task: Task, training: TrainingParams, device: torch.device) -> None:
    """Train task.model in the pipeline's loop, with no checkpoint before the last."""
    with tempfile.TemporaryDirectory() as scratch:
        run = RunSettings(Path(scratch), every_steps=25, checkpoint_every_s=math.inf)
        directory = RunDirectory(run.runs / "run")
        train(task, training, run, device, directory, History(run.runs / "live", directory.path / "images"))
