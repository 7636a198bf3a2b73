"""Evaluate the models on the test split: data/processed, models -> metrics/evaluate.json, metrics/evaluate."""

from pathlib import Path

from tinycats.evaluation.job import evaluate
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import read_json
from tinycats.runtime.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    job = Job(
        stage="evaluate",
        function=evaluate,
        inputs={
            "processed_dir": Path("data/processed/photo"),
            "view_dir": Path("data/processed", params.dit.view),
            "classifier_dir": Path("models/classifier"),
            "generator_dir": Path("models/generator"),
            "student_dir": Path("models/student"),
        },
        outputs={
            "metrics_path": Path("metrics/evaluate.json"),
            "plots_dir": Path("metrics/evaluate"),
            "timing_path": Path("metrics/timing/evaluate.json"),
            "generator_sampler_path": Path("models/generator.sampler.json"),
            "student_sampler_path": Path("models/student.sampler.json"),
        },
        checks={"metrics_path": read_json, "timing_path": read_json},
        state=Path(".tinycats"),
        arguments={
            "sampler": params.sampler,
            "settings": params.evaluate,
            "seed": params.seed,
            "device": params.compute.device,
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
