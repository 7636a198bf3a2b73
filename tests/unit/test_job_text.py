"""What a stage sends to another machine: every job comes back as it was, and nothing but a job of this package is accepted."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tinycats.runtime.compute import container
from tinycats.runtime.compute.container import Request
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.job_text import from_text, to_text
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import WandbLogging

STAGES = ["preprocess", "train_classifier", "train_dit", "distill", "evaluate", "export_onnx", "quantize"]


def job_of(stage: str, monkeypatch: pytest.MonkeyPatch) -> Job:
    """The job of a stage, as its script makes it of the params here."""
    module = importlib.import_module(f"stages.{stage}")
    jobs: list[Job] = []
    monkeypatch.setattr(module, "run", lambda compute, job: jobs.append(job))
    monkeypatch.chdir(ROOT)
    module.main()
    return jobs[0]


@pytest.mark.parametrize("stage", STAGES)
def test_the_job_of_every_stage_comes_back_as_it_was(stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of(stage, monkeypatch)
    back = from_text(to_text(job))
    assert back == replace(job, checks={})
    assert {name: type(value) for name, value in back.arguments.items()} == {
        name: type(value) for name, value in job.arguments.items()
    }


def test_so_do_the_settings_that_it_is_run_with(monkeypatch: pytest.MonkeyPatch) -> None:
    job = job_of("train_dit", monkeypatch)
    wandb = WandbLogging(backend="wandb", every_steps=7, project="cats", entity=None, mode="offline")
    run = replace(job.arguments["run"], wandb=wandb, device="cuda", checkpoint_every_s=0.1, runs=Path("a b/ü"))
    job = replace(job, arguments={**job.arguments, "run": run}, processes=None)
    assert from_text(to_text(job)).arguments["run"] == run
    assert from_text(to_text(job)).processes is None


def test_the_request_around_it_is_text_too(monkeypatch: pytest.MonkeyPatch) -> None:
    text = to_text(job_of("train_dit", monkeypatch))
    request = Request("calls/x/1", {"tinycats.a": "0"}, {"data": "1"}, ["models/a"], ".tinycats", text)
    assert json.loads(request.to_text())["job"] == text
    assert Request.from_text(request.to_text()) == request


@pytest.mark.parametrize(
    "function",
    [
        "os:system", "subprocess:run", "builtins:eval", "tinycats.runtime.files:shutil", "tinycats.runtime.files:_remove",
        "tinycats.runtime.files:os.system", "tinycats.runtime.compute.job_text:get_type_hints", "tinycats.none:f",
        "tinycatsx:f", "tinycats.runtime.params:Params", "tinycats", "", None, 5,
    ],
)  # fmt: skip
def test_it_cannot_name_anything_but_a_function_of_the_package(
    function: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(to_text(job_of("train_dit", monkeypatch)))
    with pytest.raises(UserError, match="is not a job of this code"):
        from_text(json.dumps({**content, "function": function}))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": "x"},
        {"unknown": 1},
        {"network": {"width": 4}},
        {"network": "x"},
        {"training": None},
        {"run": {"runs": 5}},
    ],
)
def test_its_arguments_are_checked_before_it_runs(changes: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.loads(to_text(job_of("train_dit", monkeypatch)))
    content["arguments"] |= changes
    with pytest.raises(UserError, match="is not a job of this code"):
        from_text(json.dumps(content))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", "gASVAAAA"])
def test_other_text_is_refused_with_one_line(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / container.JOB_NAME).write_text(text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="error: what is to run is not a job"):
        container.main()
