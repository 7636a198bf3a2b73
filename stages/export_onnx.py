"""Export the models to ONNX: models/classifier, generator, student -> models/onnx, metrics/export.json."""

from pathlib import Path

from tinycats.export.export_job import export_models
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    export_models(
        classifier_dir=Path("models/classifier"),
        generators={
            "generator": (Path("models/generator"), teacher_sampler(params.sampler)),
            "student": (Path("models/student"), student_sampler(params.sampler.student_steps)),
        },
        processed_dir=Path("data/processed"),
        output_dir=Path("models/onnx"),
        metrics_path=Path("metrics/export.json"),
        timing_path=Path("metrics/timing/export_onnx.json"),
        settings=params.export,
        seed=params.seed,
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
