"""Publish: models, metrics -> publish (the Hub repository), frontend/public/models, metrics/publish.json."""

from pathlib import Path

from tinycats.publishing.layout import GENERATORS
from tinycats.publishing.publish import publish
from tinycats.publishing.revision import git_revision
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import write_json
from tinycats.runtime.params import load_params
from tinycats.runtime.track import naming

CODE = ("src", "stages", "conf", "params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock", "torch.lock")


def main() -> None:
    params = load_params(Path("params.yaml"))
    with naming("publish"):
        summary = publish(
            settings=params.publish,
            source=params.data.source,
            classifier_dir=Path("models/classifier"),
            generator_dirs={name: Path("models") / name for name in GENERATORS},
            onnx_dir=Path("models/onnx"),
            onnx_int8_dir=Path("models/onnx_int8"),
            metrics_dir=Path("metrics"),
            output=Path("publish"),
            web=Path("frontend/public/models"),
            frontend=Path("frontend"),
            revision=git_revision(Path(), CODE),
        )
    write_json(Path("metrics/publish.json"), summary)


if __name__ == "__main__":
    with one_line_errors():
        main()
