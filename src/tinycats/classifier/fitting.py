"""Trains a classification network on packed images: what the breed classifier and the evaluator share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from tinycats.classifier.task import ClassificationTask
from tinycats.data.pixels import middle
from tinycats.data.processed import Split, load_split
from tinycats.learning.precision import resolve_dtype
from tinycats.learning.pretrained import PretrainedModel
from tinycats.learning.run_task import run_task
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.params import ClassificationParams
from tinycats.runtime.run_settings import RunSettings


def fit(
    name: str,
    model: PretrainedModel,
    processed: Path,
    output: Path,
    metrics: Path,
    *,
    image_size: int,
    source_size: int,
    crop_size: int,
    seed: int,
    mirror: bool,
    training: ClassificationParams,
    run: RunSettings,
    finish: Callable[[Split], None] | None = None,
) -> None:
    """Train `model`; save the weights that validated best to `output`.

    Random crops of `crop_size` pixels are cut from images of `source_size`; validation sees the middle of images of `image_size`.
    `finish` is called with the validation split when the network has its best weights, and may change its config. Curves go to
    the DVCLive directory `metrics`, checkpoints to a directory below run.runs. Raises UserError where nothing is learned.
    """
    device = resolve_device(run.device)
    train, val = load_split(processed, "train", source_size), load_split(processed, "val", image_size)
    rows, columns = middle(image_size, image_size, crop_size)
    task = ClassificationTask(
        name=name,
        model=model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        train=train,
        val=Split(val.images[:, rows, columns], val.labels, val.names),
        classes=model.config.classes,
        seed=seed,
        mirror=mirror,
        training=training,
        device=device,
        dtype=resolve_dtype(training.precision, device),
    )
    names = ("index.csv", "classes.json", f"train_{source_size}.npy", f"val_{image_size}.npy")
    determines = {"seed": seed, "mirror": mirror, "config": model.config.model_dump()}

    def best(_averaged: nn.Module) -> PretrainedModel:
        model.load_state_dict(task.best)
        if finish is not None:
            finish(val)
        return model

    inputs = [processed / name for name in names]
    run_task(task, training, run, device, determines, inputs, output, metrics, best)
