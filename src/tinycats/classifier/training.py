"""Trains the breed classifier from packed images to a model directory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from tinycats.backbones.networks import load_imagenet, normalisation
from tinycats.classifier.calibration import calibrate
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.classifier.task import ClassificationTask
from tinycats.data.processed import load_classes, load_fit, load_split
from tinycats.learning.precision import resolve_dtype
from tinycats.learning.run_task import run_task
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import ClassifierParams
from tinycats.runtime.run_settings import RunSettings


def train_classifier(
    processed: Path,
    output: Path,
    metrics: Path,
    *,
    seed: int,
    mirror: bool,
    training: ClassifierParams,
    run: RunSettings,
) -> None:
    """Train the classifier on `processed` and calibrate it on the validation split; save it to `output`.

    Random crops are cut from images of training.source_size; validation sees images of training.image_size. Curves go to the
    DVCLive directory `metrics`, checkpoints to a directory below run.runs. Raises UserError where there is one class, nothing is
    learned, or the ImageNet weights that training.pretrained asks for cannot be had.
    """
    device = resolve_device(run.device)
    source_size = training.source_size or training.image_size
    classes, other = load_classes(processed)
    if len(classes) < 2:
        raise UserError(f"{processed}: has one class, {classes[0]!r}; a classifier needs at least two")
    train, val = load_split(processed, "train", source_size), load_split(processed, "val", training.image_size)
    statistics = normalisation(training.arch)
    config = ClassifierConfig(
        classes=classes,
        fit=load_fit(processed),
        other=other,
        arch=training.arch,
        image_size=training.image_size,
        mean=statistics.mean,
        std=statistics.std,
        flip_at_test=mirror and training.flip_at_test,
    )
    torch.manual_seed(seed)
    model = Classifier(config)
    if training.pretrained:
        load_imagenet(model.trunk, training.arch, "-S classifier.pretrained=false")
        nn.init.zeros_(model.head.weight)  # no class is likelier than another at first
        nn.init.zeros_(model.head.bias)
    task = ClassificationTask(
        name="train_classifier",
        model=model,
        train=train,
        val=val,
        classes=classes,
        crop_size=training.crop_size or training.image_size,
        seed=seed,
        mirror=mirror,
        training=training,
        device=device,
        dtype=resolve_dtype(training.precision, device),
    )
    names = ("index.csv", "classes.json", f"train_{source_size}.npy", f"val_{training.image_size}.npy")
    determines = {"seed": seed, "mirror": mirror, "config": config.model_dump()}

    def finish(_averaged: nn.Module) -> Classifier:
        model.load_state_dict(task.best)
        return calibrate(model, train, val)

    run_task(task, training, run, device, determines, [processed / name for name in names], output, metrics, finish)
