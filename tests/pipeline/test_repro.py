from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from tests.pipeline.conftest import Project, copy_project, link_large, use_precision_of
from tests.pipeline.test_readme import readme, shell

ALL = ["fetch", "preprocess", "train_classifier", "train_dit", "distill", "evaluate", "export_onnx",
       "quantize", "publish"]  # fmt: skip
AFTER_GENERATOR = ["train_dit", "distill", "evaluate", "export_onnx", "quantize", "publish"]


def set_param(project: Project, key: str, value: object) -> None:
    path = project.path / "params.yaml"
    content = section = yaml.safe_load(path.read_text())
    *sections, last = key.split(".")
    for name in sections:
        section = section[name]
    assert last in section
    section[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def append(project: Project, text: str, *paths: str) -> None:
    """To these files."""
    for path in paths:
        with (project.path / path).open("a") as file:
            file.write(text)


def runtime(project: Project) -> list[str]:
    """The files of the room that no stage depends on."""
    found = (project.path / "src/tinycats/runtime").rglob("*.py")
    return [path.relative_to(project.path).as_posix() for path in found]


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
    assert evaluation["generator"]["fd_efficientnet_lite0"] > 0
    assert evaluation["student"]["fd_efficientnet_lite0"] > 0
    assert list(evaluation["few_steps"]) == ["teacher_4", "student_2", "student_1"]
    config = json.loads(reproduced.read("models/student/config.json"))
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
    tracked = reproduced.run("git", "ls-files", "--", ":!pretrained").stdout.splitlines()
    assert not [path for path in tracked if path.endswith((".safetensors", ".onnx", ".npy", ".tar", ".pt"))]


def test_two_clean_runs_give_the_same_lock(reproduced: Project, tmp_path: Path) -> None:
    second = copy_project(tmp_path / "second", fork=False)
    use_precision_of(reproduced.path)
    assert second.ran(second.dvc("repro")) == ALL
    assert lock_without_times(second) == lock_without_times(reproduced)


def test_the_page_and_the_documents_retrain_nothing(project: Project) -> None:
    append(project, "changed\n", "README.md", "frontend/src/App.tsx", "docs/decisions.md")
    assert would_run(project) == []
    append(project, "\n# changed\n", "src/tinycats/publishing/card_text.py")
    assert would_run(project) == ["publish"]


def test_what_cannot_change_a_result_invalidates_nothing(project: Project) -> None:
    """The code that starts, shows and records work, and bytecode in the folders of code that stages depend on."""
    append(project, "\n# changed\n", *runtime(project))
    assert "up to date" in project.dvc("status")
    folders = [path.parent for path in (project.path / "src").rglob("__init__.py")]
    assert len(folders) > 10
    for folder in folders:
        (folder / "__pycache__").mkdir(exist_ok=True)
        (folder / "__pycache__/other.pyc").write_bytes(b"bytecode")
        (folder / "other.pyc").write_bytes(b"bytecode")
    assert "up to date" in project.dvc("status")


STOPPED_HALF_WAY = """
python stages/train_dit.py & training=$!
until ls .tinycats/runs/train_dit-*/checkpoint-*.pt; do sleep 0.05; done
kill -TERM $training
wait $training
"""


def test_a_stopped_training_run_resumes_after_such_changes(project: Project) -> None:
    shutil.rmtree(project.path / ".tinycats/runs")
    set_param(project, "train.steps", 100_000)
    set_param(project, "compute.checkpoint_every_s", 0.1)
    stopped = project.run("bash", "-c", STOPPED_HALF_WAY, check=False)
    assert stopped.returncode == 143
    step = re.search(r"stopped by SIGTERM after step (\d+)", stopped.stderr)
    assert step, stopped.stderr
    append(project, "\n# changed\n", *runtime(project))
    set_param(project, "train.steps", int(step[1]) + 10)
    set_param(project, "monitor.train_dit", {"guard_steps": None, "sample_every": 7})
    set_param(project, "logging.every_steps", 3)
    assert f"train_dit: resumes from step {step[1]} " in project.dvc("repro", "--single-item", "train_dit")


def test_the_flow_loss_retrains_the_generator_and_its_student_alone(project: Project) -> None:
    other = "\n_loss = FlowMatchingTask.loss\nFlowMatchingTask.loss = lambda *arguments: 2 * _loss(*arguments)\n"
    append(project, other, "src/tinycats/generator/task.py")
    assert would_run(project) == ["train_dit", "distill"]  # the student's sample grids are drawn as the generator's
    assert project.ran(project.dvc("repro")) == AFTER_GENERATOR


def test_a_source_that_gives_the_same_images_retrains_nothing(project: Project) -> None:
    append(project, "\n# changed\n", "src/tinycats/sources/oxford_pets.py")
    assert project.ran(project.dvc("repro")) == ["fetch"]


@pytest.mark.parametrize("key", ["title", "licence"])
def test_what_the_data_is_called_is_the_model_cards_business(project: Project, key: str) -> None:
    conf = project.path / "conf/data/tiny.yaml"
    before = conf.read_text()
    conf.write_text(before.replace(f"{key}: ", f"{key}: other "))
    assert conf.read_text() != before
    project.run("tinycats", "params")
    assert would_run(project) == ["publish"]


@pytest.mark.parametrize(
    ("key", "value", "first"),
    [
        ("sampler.steps", 5, "evaluate"),
        ("sampler.student_steps", 2, "evaluate"),
        ("sampler.guidance", 3.0, "distill"),
        ("sampler.guidance_high", 0.8, "distill"),
    ],
)
def test_the_student_learns_again_where_its_teacher_is_guided_otherwise(
    project: Project, key: str, value: float, first: str
) -> None:
    set_param(project, key, value)
    assert would_run(project) == ALL[ALL.index(first) : -1]  # publish reads the settings that evaluate writes


def test_the_students_learning_rate_leaves_its_teacher_alone(project: Project) -> None:
    set_param(project, "distill.lr", 0.0005)
    assert would_run(project) == ["distill"]
    assert project.ran(project.dvc("repro", "distill")) == ["distill"]
    metrics = json.loads(project.read("metrics/distill/metrics.json"))
    assert {"val_mse_1", "val_mse_2", "val_mse_4", "steps"} <= metrics.keys()


def test_the_learning_rate_retrains_the_generator_alone(project: Project) -> None:
    set_param(project, "train.lr", 0.001)
    # What follows runs if other weights come out: test_workflows.py has that experiment
    assert would_run(project) == ["train_dit"]


def test_where_it_runs_and_what_is_watched_retrain_nothing(project: Project) -> None:
    changes = ["compute=modal", "logging.every_steps=7"]
    changes += [f"monitor.{stage}.guard_steps=null" for stage in ("train_classifier", "train_dit")]
    changes += [f"monitor.{stage}.sample_every=7" for stage in ("train_dit", "distill")]
    output = project.dvc("exp", "run", *(word for change in changes for word in ("-S", change)))
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
    assert metrics["metrics/evaluate.json"]["generator.fd_efficientnet_lite0"]["diff"] != 0
    assert "longer" in project.dvc("exp", "show", "--csv")
    project.dvc("plots", "show")
    page = (project.path / "dvc_plots/index.html").read_text()
    assert "confusion" in page
    images = {path.name for path in (project.path / "dvc_plots").rglob("*.png")}
    assert any(re.search(r"samples_0000060\.png$", name) for name in images), images


def test_params_that_were_run_before_are_not_run_again(project: Project) -> None:
    set_param(project, "quantize.calibration_images", 8)
    assert project.ran(project.dvc("repro")) == ["quantize", "publish"]
    set_param(project, "quantize.calibration_images", 16)
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
