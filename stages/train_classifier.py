"""Train the breed classifier: data/processed -> models/classifier, metrics/classifier."""

from pathlib import Path

from tinycats.compute.job import Job
from tinycats.compute.run import run
from tinycats.data.processed import load_classes, load_fit
from tinycats.errors import one_line_errors
from tinycats.models.classifier import Classifier, ClassifierConfig, imagenet_classifier
from tinycats.params import load_params
from tinycats.training.calibration import calibrate
from tinycats.training.classification_job import train_classification
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    settings = params.classifier
    processed, state = Path("data/processed"), Path(".tinycats")
    classes, other = load_classes(processed)
    config = ClassifierConfig(
        classes=classes,
        fit=load_fit(processed),
        other=other,
        arch=settings.arch,
        image_size=settings.image_size,
        crop_size=settings.crop_size,
        flip_at_test=params.data.mirror,
    )
    job = Job(
        stage="train_classifier",
        function=train_classification,
        inputs={"processed": processed},
        outputs={"output": Path("models/classifier"), "metrics": Path("metrics/classifier")},
        checks={"output": Classifier.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "name": "train_classifier",
            "network": imagenet_classifier if settings.pretrained else Classifier,
            "config": config,
            "calibrate": calibrate,
            "seed": params.seed,
            "mirror": params.data.mirror,
            **settings.model_dump(exclude={"arch", "pretrained"}),
            **run_settings(params, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
