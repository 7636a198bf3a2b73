"""Export both models to ONNX: models/classifier, models/generator -> models/onnx, metrics/export.json."""

from pathlib import Path

from tinycats.errors import one_line_errors
from tinycats.export.export_job import export_models
from tinycats.models.sampler import SamplerSettings
from tinycats.params import load_params


def main() -> None:
    params = load_params(Path("params.yaml"))
    export_models(
        classifier_dir=Path("models/classifier"),
        generator_dir=Path("models/generator"),
        processed_dir=Path("data/processed"),
        output_dir=Path("models/onnx"),
        metrics_path=Path("metrics/export.json"),
        timing_path=Path("metrics/timing/export_onnx.json"),
        sampler=SamplerSettings(**params.sampler.model_dump()),
        seed=params.seed,
        **params.export.model_dump(),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
