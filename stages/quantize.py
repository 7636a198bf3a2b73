"""Make the int8 models: models/onnx -> models/onnx_int8, metrics/quantize.json."""

from pathlib import Path

from tinycats.export.quantize_job import quantize_models
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import read_json
from tinycats.runtime.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    # fp32 and int8 are compared on the same short way, which shows the difference as well
    samplers = {
        "generator": teacher_sampler(params.sampler).model_copy(update={"steps": params.quantize.sampler_steps}),
        "student": student_sampler(params.sampler.student_steps),
    }
    job = Job(
        stage="quantize",
        function=quantize_models,
        inputs={
            "onnx_dir": Path("models/onnx"),
            "processed_dir": Path("data/processed/photo"),
            "view_dir": Path("data/processed", params.dit.view),
        },
        outputs={
            "output_dir": Path("models/onnx_int8"),
            "metrics_path": Path("metrics/quantize.json"),
            "timing_path": Path("metrics/timing/quantize.json"),
        },
        checks={"metrics_path": read_json, "timing_path": read_json},
        state=Path(".tinycats"),
        arguments={
            "samplers": samplers,
            "features": params.evaluate.features,
            "settings": params.quantize,
            "seed": params.seed,
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
