"""Export the models to ONNX: models/classifier, generator, student -> models/onnx, metrics/export.json."""

from pathlib import Path

from tinycats.export.export_job import export_models
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import read_json
from tinycats.runtime.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    job = Job(
        stage="export_onnx",
        function=export_models,
        inputs={
            "classifier_dir": Path("models/classifier"),
            "generator_dir": Path("models/generator"),
            "student_dir": Path("models/student"),
            "processed_dir": Path("data/processed/photo"),
            "view_dir": Path("data/processed", params.dit.view),
        },
        outputs={
            "output_dir": Path("models/onnx"),
            "metrics_path": Path("metrics/export.json"),
            "timing_path": Path("metrics/timing/export_onnx.json"),
        },
        checks={"metrics_path": read_json, "timing_path": read_json},
        state=Path(".tinycats"),
        arguments={
            "samplers": {
                "generator": teacher_sampler(params.sampler),
                "student": student_sampler(params.sampler.student_steps),
            },
            "settings": params.export,
            "seed": params.seed,
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
