"""Train the breed classifier: data/processed -> models/classifier, metrics/classifier."""

from pathlib import Path

import torch

from tinycats.compute.run import run
from tinycats.data.processed import load_classes
from tinycats.errors import one_line_errors
from tinycats.models.classifier import Classifier, ClassifierConfig
from tinycats.params import load_params
from tinycats.training.classification_job import train_classification
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    settings = params.classifier
    processed = Path("data/processed")
    classes, other = load_classes(processed)
    torch.manual_seed(params.seed)
    model = Classifier(
        ClassifierConfig(
            classes=classes,
            other=other,
            arch=settings.arch,
            image_size=settings.image_size,
            flip_at_test=params.data.mirror,
        )
    )
    if settings.pretrained:
        model.load_imagenet()
    run(
        params.compute.backend,
        train_classification,
        params.compute.processes,
        name="train_classifier",
        model=model,
        processed=processed,
        output=Path("models/classifier"),
        metrics=Path("metrics/classifier"),
        seed=params.seed,
        mirror=params.data.mirror,
        **settings.model_dump(exclude={"arch", "pretrained"}),
        **run_settings(params, Path(".tinycats")),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
