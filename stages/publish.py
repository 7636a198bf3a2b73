"""Publish: models, metrics -> publish (the Hub repository), frontend/public/models, metrics/publish.json."""

from pathlib import Path

from tinycats.errors import one_line_errors
from tinycats.files import write_json
from tinycats.models.sampler import SamplerSettings, few_step_settings
from tinycats.params import load_params
from tinycats.publishing.gates import Gate
from tinycats.publishing.layout import GENERATORS
from tinycats.publishing.publish import DataInfo, HubRepository, publish
from tinycats.publishing.revision import git_revision

CODE = ("src", "stages", "conf", "params.yaml", "dvc.yaml", "pyproject.toml", "requirements.lock")


def main() -> None:
    params = load_params(Path("params.yaml"))
    hub = params.publish.hub
    summary = publish(
        name=params.publish.name,
        licence=params.publish.licence,
        gates=[Gate(**gate.model_dump()) for gate in params.publish.gates],
        data=DataInfo(params.data.title, params.data.licence, params.data.source),
        samplers={
            "generator": SamplerSettings(**params.sampler.teacher()),
            "generator_fast": few_step_settings(params.sampler.fast_steps),
        },
        classifier_dir=Path("models/classifier"),
        generator_dirs={name: Path("models") / name for name in GENERATORS},
        onnx_dir=Path("models/onnx"),
        onnx_int8_dir=Path("models/onnx_int8"),
        adapters=[Path(path) for path in params.publish.adapters],
        metrics_dir=Path("metrics"),
        output=Path("publish"),
        web=Path("frontend/public/models"),
        revision=git_revision(Path(), CODE),
        repository=HubRepository(hub.repo_id, hub.private) if hub.repo_id else None,
    )
    write_json(Path("metrics/publish.json"), summary)


if __name__ == "__main__":
    with one_line_errors():
        main()
