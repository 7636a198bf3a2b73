"""The pipeline with its trainings on Modal, against the stand-in of tests/remote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.conftest import Project
from tests.remote.modal_double import ModalDouble


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ModalDouble]:
    double = ModalDouble(tmp_path / "modal")
    double.start()
    yield double
    double.stop()


def test_the_trainings_run_there_and_the_rest_here(project: Project, service: ModalDouble) -> None:
    """With other parameters; where nothing but the place changes, nothing runs."""
    assert "Running stage" not in project.dvc("exp", "run", "-S", "compute=modal")
    changed = [
        "-S", "compute=modal", "-S", "compute.checkpoint_every_s=1", "-S", "classifier.lr=0.001", "-S", "train.steps=44",
    ]  # fmt: skip
    done = project.run("dvc", "exp", "run", *changed, **service.environment)
    assert project.ran(done.stdout + done.stderr) == [
        "train_classifier", "train_dit", "distill", "evaluate", "export_onnx", "quantize", "publish"
    ]  # fmt: skip
    ran = {call.function.function_name: call.function.resources.gpu_config.gpu_type for call in service.calls.values()}
    assert ran == {"train_classifier": "T4", "train_dit": "A10G", "distill": "A10G", "evaluate": "T4"}
    assert json.loads(project.read("metrics/generator/metrics.json"))["steps"] == 44
    assert "classifier" in json.loads(project.read("metrics/evaluate.json"))
    assert "Data and pipelines are up to date" in project.dvc("status")
    inputs = [path.name for path in service.volume("tinycats").glob("inputs/*.json")]
    assert len(inputs) == 4  # the data once, and three models
    assert project.run("tinycats", "runs").stdout.count("finished") == 4
