"""Export the models to ONNX: models/classifier, generator, generator_fast -> models/onnx, metrics/export.json."""

from pathlib import Path

from tinycats.errors import one_line_errors
from tinycats.export.export_job import export_models
from tinycats.models.sampler import SamplerSettings, few_step_settings
from tinycats.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    export_models(
        classifier_dir=Path("models/classifier"),
        generators={
            "generator": (Path("models/generator"), SamplerSettings(**params.sampler.teacher())),
            "generator_fast": (Path("models/generator_fast"), few_step_settings(params.sampler.fast_steps)),
        },
        processed_dir=Path("data/processed"),
        output_dir=Path("models/onnx"),
        metrics_path=Path("metrics/export.json"),
        timing_path=Path("metrics/timing/export_onnx.json"),
        seed=params.seed,
        **params.export.model_dump(),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
