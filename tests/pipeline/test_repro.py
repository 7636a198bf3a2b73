from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from tests.pipeline.conftest import Project, copy_project, link_large
from tests.pipeline.test_readme import readme, shell

ALL = ["fetch", "preprocess", "train_classifier", "train_evaluator", "train_dit", "distill", "evaluate", "export_onnx",
       "quantize", "publish"]  # fmt: skip
AFTER_GENERATOR = ["train_dit", "distill", "evaluate", "export_onnx", "quantize", "publish"]


def set_param(project: Project, section: str, key: str, value: object) -> None:
    path = project.path / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content[section][key] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def would_run(project: Project) -> list[str]:
    return project.ran(project.dvc("repro", "--dry"))


def lock_without_times(project: Project) -> dict:
    lock = yaml.safe_load(project.read("dvc.lock"))
    for stage in lock["stages"].values():
        stage["outs"] = [out for out in stage["outs"] if not out["path"].startswith("metrics/timing/")]
    return lock


def test_everything_that_the_stages_promise_exists(reproduced: Project) -> None:
    assert list(yaml.safe_load(reproduced.read("dvc.lock"))["stages"]) == ALL
    evaluation = json.loads(reproduced.read("metrics/evaluate.json"))
    assert 0 <= evaluation["classifier"]["top1"] <= 1
    assert evaluation["generator"]["fd_classifier"] > 0
    assert evaluation["generator_fast"]["fd_classifier"] > 0
    assert list(evaluation["few_steps"]) == ["teacher_4", "student_2", "student_1"]
    config = json.loads(reproduced.read("models/generator_fast/config.json"))
    assert config == json.loads(reproduced.read("models/generator/config.json")) | {"few_step": True}
    for path in (
        "metrics/evaluate/few_steps.png",
        "publish/README.md",
        "publish/manifest.json",
        "metrics/evaluate/samples.png",
        "dvc.lock",
    ):
        assert (reproduced.path / path).stat().st_size > 0


def test_a_second_repro_runs_nothing(project: Project) -> None:
    output = project.dvc("repro")
    assert project.ran(output) == []
    assert "up to date" in output
    assert "up to date" in project.dvc("status")


def test_nothing_of_a_run_is_left_for_git(reproduced: Project) -> None:
    assert reproduced.run("git", "--no-optional-locks", "status", "--porcelain").stdout == ""
    tracked = reproduced.run("git", "ls-files").stdout.splitlines()
    assert not [path for path in tracked if path.endswith((".safetensors", ".onnx", ".npy", ".tar", ".pt"))]


def test_two_clean_runs_give_the_same_lock(reproduced: Project, tmp_path: Path) -> None:
    second = copy_project(tmp_path / "second", fork=False)
    assert second.ran(second.dvc("repro")) == ALL
    assert lock_without_times(second) == lock_without_times(reproduced)


def test_the_page_and_the_documents_retrain_nothing(project: Project) -> None:
    for name in ("README.md", "frontend/src/App.tsx", "docs/decisions.md"):
        path = project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("changed\n")
    assert would_run(project) == []
    card = project.path / "src/tinycats/publishing/card_text.py"
    card.write_text(card.read_text() + "\n# changed\n")
    assert would_run(project) == ["publish"]


def test_the_flow_loss_retrains_the_generator_and_its_student_alone(project: Project) -> None:
    loss = project.path / "src/tinycats/generator/task.py"
    loss.write_text(loss.read_text() + "\n# changed\n")
    # The student's sample grids are drawn as the generator's. What follows runs if other weights come out
    assert would_run(project) == ["train_dit", "distill"]


@pytest.mark.parametrize(
    ("section", "key", "value", "first"),
    [
        ("sampler", "steps", 5, "evaluate"),
        ("sampler", "student_steps", 2, "evaluate"),
        ("sampler", "guidance", 3.0, "distill"),
        ("sampler", "guidance_high", 0.8, "distill"),
    ],
)
def test_the_student_learns_again_where_its_teacher_is_guided_otherwise(
    project: Project, section: str, key: str, value: float, first: str
) -> None:
    set_param(project, section, key, value)
    assert would_run(project) == ALL[ALL.index(first) :]


def test_the_students_learning_rate_leaves_its_teacher_alone(project: Project) -> None:
    set_param(project, "distill", "lr", 0.0005)
    assert would_run(project) == ["distill"]
    assert project.ran(project.dvc("repro", "distill")) == ["distill"]
    metrics = json.loads(project.read("metrics/distill/metrics.json"))
    assert {"val_mse_1", "val_mse_2", "val_mse_4", "steps"} <= metrics.keys()


def test_the_learning_rate_retrains_the_generator_alone(project: Project) -> None:
    set_param(project, "train", "lr", 0.001)
    # What follows runs if other weights come out: test_workflows.py has that experiment
    assert would_run(project) == ["train_dit"]


def test_where_it_runs_and_what_it_logs_retrain_nothing(project: Project) -> None:
    output = project.dvc("exp", "run", "-S", "compute=modal", "-S", "logging.every_steps=7")
    assert yaml.safe_load(project.read("params.yaml"))["compute"]["backend"] == "modal"
    assert project.ran(output) == []


def test_an_experiment_changes_the_steps_and_the_diffs_show_it(project: Project) -> None:
    """More steps with the constant schedule also resume the run."""
    command = readme("dvc exp run -S train.steps=3000").replace("exp run", "exp run --name longer")
    output = shell(project, command.replace("3000", "60"))
    assert project.ran(output) == AFTER_GENERATOR
    assert "train_dit: resumes from step 40" in output
    params = json.loads(project.dvc("params", "diff", "--json"))
    assert params["params.yaml"]["train.steps"] == {"old": 40, "new": 60, "diff": 20}
    metrics = json.loads(project.dvc("metrics", "diff", "--json"))
    assert metrics["metrics/generator/metrics.json"]["steps"]["diff"] == 20
    assert metrics["metrics/evaluate.json"]["generator.fd_classifier"]["diff"] != 0
    assert "longer" in project.dvc("exp", "show", "--csv")
    project.dvc("plots", "show")
    page = (project.path / "dvc_plots/index.html").read_text()
    assert "confusion" in page
    images = {path.name for path in (project.path / "dvc_plots").rglob("*.png")}
    assert any(re.search(r"samples_0000060\.png$", name) for name in images), images


def test_params_that_were_run_before_are_not_run_again(project: Project) -> None:
    set_param(project, "quantize", "calibration_images", 8)
    assert project.ran(project.dvc("repro")) == ["quantize", "publish"]
    set_param(project, "quantize", "calibration_images", 16)
    output = project.dvc("repro")
    assert project.ran(output) == []
    assert "is cached - skipping run" in output


def test_push_and_pull_bring_everything_back(reproduced: Project, tmp_path: Path) -> None:
    path = tmp_path / "project"
    shutil.copytree(reproduced.path, path, symlinks=True, copy_function=link_large)
    project = Project(path)
    weights = load_file(path / "models/generator/model.safetensors")
    project.dvc("remote", "add", "--default", "storage", str(tmp_path / "remote"))
    project.dvc("push", "--run-cache")

    def lose_everything() -> None:
        for name in ("data", "models", "publish", "frontend/public", "cache"):
            shutil.rmtree(path / name, ignore_errors=True)
        (path / ".dvc/config.local").write_text(f"[cache]\n    dir = {path}/cache\n")
        shutil.rmtree(path / ".dvc/tmp", ignore_errors=True)

    lose_everything()
    project.dvc("pull")
    assert project.ran(project.dvc("repro")) == []
    back = load_file(path / "models/generator/model.safetensors")
    assert all((back[name] == tensor).all() for name, tensor in weights.items())

    lose_everything()
    assert project.ran(project.dvc("repro", "--pull", "--allow-missing")) == []
