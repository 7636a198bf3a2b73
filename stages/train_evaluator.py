"""Train the network whose features judge the generator: data/processed -> models/evaluator, metrics/evaluator."""

from pathlib import Path

from tinycats.evaluator.network import Evaluator
from tinycats.evaluator.training import train_evaluator
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import load_params
from tinycats.runtime.run_settings import run_settings


def main() -> None:
    params, state = load_params(Path("params.yaml")), Path(".tinycats")
    job = Job(
        stage="train_evaluator",
        function=train_evaluator,
        inputs={"processed": Path("data/processed")},
        outputs={"output": Path("models/evaluator"), "metrics": Path("metrics/evaluator")},
        checks={"output": Evaluator.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "image_size": params.dit.image_size,
            "mirror": params.mirror,
            "training": params.evaluator,
            "run": run_settings(params.compute, params.logging, params.monitor.train_evaluator, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
