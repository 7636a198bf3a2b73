"""Evaluate the models on the test split: data/processed, models -> metrics/evaluate.json, metrics/evaluate."""

from pathlib import Path

from tinycats.compute.job import Job
from tinycats.compute.run import run
from tinycats.errors import UserError, one_line_errors
from tinycats.evaluation.job import evaluate
from tinycats.files import read_json
from tinycats.models.sampler import SamplerSettings
from tinycats.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    if params.train.smoke:
        raise UserError(
            "train.smoke: after ten steps there is nothing to evaluate; train alone: "
            "dvc exp run -S train.smoke=true train_classifier train_evaluator distill"
        )
    job = Job(
        stage="evaluate",
        function=evaluate,
        inputs={
            "processed_dir": Path("data/processed"),
            "classifier_dir": Path("models/classifier"),
            "evaluator_dir": Path("models/evaluator"),
            "generator_dir": Path("models/generator"),
            "student_dir": Path("models/generator_fast"),
        },
        outputs={
            "metrics_path": Path("metrics/evaluate.json"),
            "plots_dir": Path("metrics/evaluate"),
            "timing_path": Path("metrics/timing/evaluate.json"),
        },
        checks={"metrics_path": read_json, "timing_path": read_json},
        state=Path(".tinycats"),
        arguments={
            "sampler": SamplerSettings(**params.sampler.teacher()),
            "fast_steps": params.sampler.fast_steps,
            "seed": params.seed,
            "device": params.compute.device,
            **params.evaluate.model_dump(),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
