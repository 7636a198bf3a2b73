"""Train the network whose features judge the generator: data/processed -> models/evaluator, metrics/evaluator."""

from pathlib import Path

from tinycats.compute.job import Job
from tinycats.compute.run import run
from tinycats.data.processed import load_classes, load_fit
from tinycats.errors import one_line_errors
from tinycats.models.evaluator import Evaluator, EvaluatorConfig
from tinycats.params import load_params
from tinycats.training.classification_job import train_classification
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    settings = params.evaluator
    processed, state = Path("data/processed"), Path(".tinycats")
    classes, _ = load_classes(processed)
    config = EvaluatorConfig(
        classes=classes, fit=load_fit(processed), image_size=params.dit.image_size, width=settings.width
    )
    job = Job(
        stage="train_evaluator",
        function=train_classification,
        inputs={"processed": processed},
        outputs={"output": Path("models/evaluator"), "metrics": Path("metrics/evaluator")},
        checks={"output": Evaluator.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "name": "train_evaluator",
            "network": Evaluator,
            "config": config,
            "image_size": params.dit.image_size,
            "accumulation": 1,
            "weight_decay": 0.05,
            "warmup_fraction": 0.1,
            "clip_norm": 1.0,
            "label_smoothing": 0.0,
            "augmentation": "full",
            "mirror": params.data.mirror,
            "min_crop": 0.45,
            "mixup": 0.0,
            "cutmix": 0.0,
            "early_stopping_epochs": None,
            "compile": False,
            **settings.model_dump(exclude={"width"}),
            **run_settings(params, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
