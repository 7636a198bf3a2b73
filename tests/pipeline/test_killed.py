"""Killed at any moment and started again, a training run ends with the weights and metrics of an undisturbed run."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.conftest import ROOT, SIZE
from tests.pipeline.forks import Fork, address
from tinycats.commands.params import compose
from tinycats.generator.network import TinyDiT, TinyDiTConfig

pytestmark = [
    pytest.mark.xdist_group("killed"),  # the same undisturbed runs serve them all
    pytest.mark.skipif(sys.platform != "linux", reason="a process that has loaded torch is forked"),
]

STAGES = {"train_classifier": "classifier", "train_dit": "generator", "distill": "student"}


@pytest.fixture(scope="module")
def workspace(processed: Path, tmp_path_factory: pytest.TempPathFactory):
    """Makes directories to run one stage in, with small params."""

    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp(name)
        shutil.copytree(processed, path / "data/processed/photo")
        content = yaml.safe_load(compose(ROOT, ["distill=demo"]))
        # A lower learning rate: in the few steps of the guard the loss must fall in the rounding of every machine
        content["classifier"] |= {"image_size": SIZE, "epochs": 8, "batch_size": 8, "lr": 0.0005}
        content["dit"] |= {"image_size": SIZE, "patch_size": 8, "width": 32, "depth": 2, "heads": 2}
        content["train"] |= {"steps": 700, "batch_size": 8}
        content["sampler"] |= {"steps": 10}
        content["evaluate"] |= {
            "samples_per_class": 10,
            "features": "tf_efficientnet_lite0",
            "bootstrap": 100,
            "latency_runs": 10,
        }
        content["distill"] |= {"steps": 400, "batch_size": 8}
        content["monitor"]["train_dit"] = {"guard_steps": 150, "sample_every": 150}
        content["monitor"]["distill"]["sample_every"] = 150
        (path / "params.yaml").write_text(yaml.safe_dump(content))
        return path

    return make


def change(workspace: Path, section: str, **values: Any) -> None:
    path = workspace / "params.yaml"
    content = yaml.safe_load(path.read_text())
    content[section] |= values
    path.write_text(yaml.safe_dump(content))


def give_teacher(path: Path) -> None:
    """What distill starts from: weights that are not trained, but depend on everything."""
    torch.manual_seed(0)
    config = TinyDiTConfig(classes=["red", "green", "blue"], image_size=SIZE, patch_size=8, width=32, depth=2, heads=2)
    teacher = TinyDiT(config)
    for linear in (teacher.final, teacher.final_modulation):
        torch.nn.init.normal_(linear.weight, std=0.1)
    teacher.save_pretrained(path / "models/generator")


def give_adversary(path: Path) -> None:
    """With all that has a state of its own."""
    content = yaml.safe_load((ROOT / "conf/distill/adversarial.yaml").read_text())["distill"]
    adversary = {
        **content["adversary"],
        "feature_size": 32,
        "channels": 8,
        "consistency_weight": 0.5,
    }
    change(path, "distill", objective="adversarial", adversary=adversary, steps=150)
    change(path, "evaluate", features="tf_efficientnet_lite2")  # the adversary has the other


class Stage:
    """A running stage."""

    def __init__(self, stage: str, workspace: Path, first: str = "") -> None:
        """Start it, after the Python code `first`."""
        script = ROOT / f"stages/{stage}.py"
        if first:
            script = workspace / script.name
            script.write_text(
                f"{first}\nimport runpy\nrunpy.run_path('{ROOT}/stages/{stage}.py', run_name='__main__')\n"
            )
        self.output = workspace / f"{stage}.out"
        environment = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
        with self.output.open("wb") as output:
            self.fork = Fork(address(), [str(script)], workspace, environment, (0, output.fileno(), output.fileno()))

    def send(self, number: signal.Signals) -> None:
        self.fork.send(number)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self.fork.poll()

    def end(self) -> tuple[int, str]:
        """Wait for its end; return the exit code and what it printed."""
        return self.fork.wait(), self.output.read_text()


def finish(stage: str, workspace: Path) -> str:
    """Run a stage to its end; return what it printed."""
    code, output = Stage(stage, workspace).end()
    assert code == 0, output
    return output


def saved_step(workspace: Path) -> int:
    """The step of the newest checkpoint, 0 without one."""
    return max((int(path.name.split("-")[1]) for path in workspace.glob(".tinycats/runs/*/checkpoint-*.pt")), default=0)


def wait_for_a_new_checkpoint(workspace: Path, running: Stage) -> None:
    """Return when the run has saved a later checkpoint than there is now."""
    before = saved_step(workspace)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert running.exit_code() is None, running.end()
        if saved_step(workspace) > before:
            return
        time.sleep(0.01)
    raise AssertionError("no checkpoint was saved")


def assert_same_files(first: Path, second: Path, *directories: str) -> None:
    names = [
        path.relative_to(first)
        for directory in directories
        for path in sorted((first / directory).rglob("*"))
        if path.is_file() and "timing" not in path.parts
    ]
    assert len(names) > 3
    for name in names:
        assert (second / name).read_bytes() == (first / name).read_bytes(), name


@pytest.fixture(scope="module")
def undisturbed(workspace):
    """The workspace of a run of the stage that was left alone."""

    @functools.cache
    def run(stage: str, adversary: bool) -> Path:
        path = workspace("whole")
        if stage == "distill":
            give_teacher(path)
        if adversary:
            give_adversary(path)
        finish(stage, path)
        return path

    return run


# By the count of steps, since neither the disk nor the processor of a machine may decide how often it is done
SAVES_OFTEN = """
import itertools
from tinycats.runtime.checkpoints import Checkpoints
steps = itertools.count(1)
Checkpoints.due = lambda self: next(steps) % {every} == 0
"""

KILLED_WHILE_SAVING = """
import os, signal, torch
import tinycats.runtime.run_directory as run_directory
whole = torch.save
def save(content, path):
    whole(content, path)
    os.truncate(path, os.path.getsize(path) // 2)
    os.kill(os.getpid(), signal.SIGKILL)
run_directory.torch.save = save
"""


@pytest.mark.parametrize(
    ("stage", "steps", "kills", "adversary"),
    [
        ("train_classifier", 72, 10, False),
        ("train_dit", 700, 10, False),
        ("distill", 400, 2, False),
        ("distill", 150, 2, True),
    ],
)
def test_stopped_and_killed_many_times(
    workspace, undisturbed, stage: str, steps: int, kills: int, adversary: bool
) -> None:
    """By SIGTERM, while it writes a checkpoint, and at random moments; then it ends as if nothing had been."""
    broken = workspace("broken")
    if stage == "distill":
        give_teacher(broken)
    if adversary:
        give_adversary(broken)
    often = SAVES_OFTEN.format(every=steps // 40)
    model = broken / f"models/{STAGES[stage]}"
    running = Stage(stage, broken, often)
    wait_for_a_new_checkpoint(broken, running)
    running.send(signal.SIGTERM)
    code, output = running.end()
    assert code == 143
    assert "stopped by SIGTERM after step" in output

    code, output = Stage(stage, broken, often + KILLED_WHILE_SAVING).end()
    assert code == -signal.SIGKILL, output
    assert list(broken.glob(".tinycats/runs/*/.checkpoint.pt.*")), "it was not killed while it saved"

    moments = random.Random(stage)
    for _ in range(kills):
        running = Stage(stage, broken, often)
        wait_for_a_new_checkpoint(broken, running)
        time.sleep(moments.uniform(0, 0.1))
        running.send(signal.SIGKILL)
        running.end()
        assert not model.exists(), "it was killed too late to show anything"
    assert "resumes from step" in finish(stage, broken)
    assert_same_files(undisturbed(stage, adversary), broken, "models", "metrics")


def test_killed_while_it_evaluates(workspace, undisturbed) -> None:
    whole = workspace("evaluated")
    for stage, model in STAGES.items():
        shutil.copytree(undisturbed(stage, False) / f"models/{model}", whole / f"models/{model}")
    broken = workspace("broken")
    shutil.copytree(whole / "models", broken / "models")
    started = time.monotonic()
    finish("evaluate", whole)
    seconds = time.monotonic() - started
    running = Stage("evaluate", broken)
    time.sleep(0.4 * seconds)  # what else runs here may have ended meanwhile
    running.send(signal.SIGKILL)
    running.end()
    assert not (broken / "metrics/evaluate.json").exists(), "it was killed too late to show anything"
    finish("evaluate", broken)
    assert_same_files(whole, broken, "metrics/evaluate")
    assert (whole / "metrics/evaluate.json").read_bytes() == (broken / "metrics/evaluate.json").read_bytes()


def test_two_processes_are_stopped_and_resume(workspace) -> None:
    whole, broken = workspace("whole"), workspace("broken")
    for path in (whole, broken):
        change(path, "compute", processes=2, checkpoint_every_s=0.2)
        change(path, "train", steps=160)
    finish("train_dit", whole)
    running = Stage("train_dit", broken)
    wait_for_a_new_checkpoint(broken, running)
    running.send(signal.SIGTERM)
    code, output = running.end()
    assert code != 0
    assert output.count("stopped by SIGTERM after step") == 1, output
    assert not (broken / "models/generator").exists(), "it was stopped too late to show anything"
    assert finish("train_dit", broken).count("resumes from step") == 1
    assert_same_files(whole, broken, "models", "metrics")
