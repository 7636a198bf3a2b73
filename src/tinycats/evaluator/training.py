"""Trains the network whose features judge the generator."""

from __future__ import annotations

from pathlib import Path

import torch

from tinycats.classifier.fitting import fit
from tinycats.data.processed import load_classes, load_fit
from tinycats.evaluator.network import Evaluator, EvaluatorConfig
from tinycats.runtime.params import EvaluatorParams
from tinycats.runtime.run_settings import RunSettings


def train_evaluator(
    processed: Path,
    output: Path,
    metrics: Path,
    *,
    image_size: int,
    mirror: bool,
    training: EvaluatorParams,
    run: RunSettings,
) -> None:
    """Train the evaluator on the images of `image_size` pixels in `processed`; save it to `output` (see fit)."""
    classes, _ = load_classes(processed)
    config = EvaluatorConfig(classes=classes, fit=load_fit(processed), image_size=image_size, width=training.width)
    torch.manual_seed(training.seed)
    fit(
        "train_evaluator",
        Evaluator(config),
        processed,
        output,
        metrics,
        image_size=image_size,
        source_size=image_size,
        crop_size=image_size,
        seed=training.seed,
        mirror=mirror,
        training=training,
        run=run,
    )
