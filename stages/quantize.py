"""Make the int8 models: models/onnx -> models/onnx_int8, metrics/quantize.json."""

from pathlib import Path

from tinycats.errors import one_line_errors
from tinycats.export.quantize_job import quantize_models
from tinycats.models.sampler import SamplerSettings, few_step_settings
from tinycats.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    settings = params.quantize
    # fp32 and int8 are compared on the same short way, which shows the difference as well
    samplers = {
        "generator": SamplerSettings(**params.sampler.teacher() | {"steps": settings.sampler_steps}),
        "generator_fast": few_step_settings(params.sampler.fast_steps),
    }
    quantize_models(
        onnx_dir=Path("models/onnx"),
        evaluator_dir=Path("models/evaluator"),
        processed_dir=Path("data/processed"),
        output_dir=Path("models/onnx_int8"),
        metrics_path=Path("metrics/quantize.json"),
        timing_path=Path("metrics/timing/quantize.json"),
        samplers=samplers,
        seed=params.seed,
        **settings.model_dump(exclude={"sampler_steps"}),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
