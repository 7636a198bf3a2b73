"""Train the breed classifier: data/processed/photo -> models/classifier, metrics/classifier."""

from pathlib import Path

from tinycats.classifier.network import Classifier
from tinycats.classifier.training import train_classifier
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import load_params
from tinycats.runtime.run_settings import run_settings


def main() -> None:
    params, state = load_params(Path("params.yaml")), Path(".tinycats")
    job = Job(
        stage="train_classifier",
        function=train_classifier,
        inputs={"processed": Path("data/processed/photo")},
        outputs={"output": Path("models/classifier"), "metrics": Path("metrics/classifier")},
        checks={"output": Classifier.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "seed": params.seed,
            "mirror": params.mirror,
            "training": params.classifier,
            "run": run_settings(params.compute, params.logging, params.monitor.train_classifier, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
