"""Train the network whose features judge the generator: data/processed -> models/evaluator, metrics/evaluator."""

from pathlib import Path

import torch

from tinycats.compute.run import run
from tinycats.data.processed import load_classes
from tinycats.errors import one_line_errors
from tinycats.models.evaluator import Evaluator, EvaluatorConfig
from tinycats.params import load_params
from tinycats.training.classification_job import train_classification
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    settings = params.evaluator
    processed = Path("data/processed")
    classes, _ = load_classes(processed)
    torch.manual_seed(settings.seed)
    config = EvaluatorConfig(classes=classes, image_size=params.dit.image_size, width=settings.width)
    run(
        params.compute.backend,
        train_classification,
        params.compute.processes,
        name="train_evaluator",
        model=Evaluator(config),
        image_size=params.dit.image_size,
        processed=processed,
        output=Path("models/evaluator"),
        metrics=Path("metrics/evaluator"),
        accumulation=1,
        weight_decay=0.05,
        warmup_fraction=0.1,
        clip_norm=1.0,
        label_smoothing=0.0,
        augmentation="full",
        mirror=params.data.mirror,
        min_crop=0.45,
        mixup=0.0,
        early_stopping_epochs=None,
        compile=False,
        **settings.model_dump(exclude={"width"}),
        **run_settings(params, Path(".tinycats")),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
