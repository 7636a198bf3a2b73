"""Trains the breed classifier from packed images to a model directory."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from tinycats.classifier.calibration import calibrate
from tinycats.classifier.fitting import fit
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.data.processed import load_classes, load_fit
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
    """Train the classifier on `processed` and calibrate it on the validation split; save it to `output` (see fit)."""
    classes, other = load_classes(processed)
    config = ClassifierConfig(
        classes=classes,
        fit=load_fit(processed),
        other=other,
        arch=training.arch,
        image_size=training.image_size,
        crop_size=training.crop_size,
        flip_at_test=mirror,
    )
    torch.manual_seed(seed)
    model = Classifier(config)
    if training.pretrained:
        model.load_imagenet()
    fit(
        "train_classifier",
        model,
        processed,
        output,
        metrics,
        image_size=training.image_size,
        source_size=training.source_size or training.image_size,
        crop_size=training.crop_size or training.image_size,
        seed=seed,
        mirror=mirror,
        training=training,
        run=run,
        finish=partial(calibrate, model),
    )
