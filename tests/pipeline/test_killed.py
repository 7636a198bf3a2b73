"""SIGKILL in the middle of a training, and SIGTERM: started again, it ends with the weights of an undisturbed run."""

from __future__ import annotations

import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, SIZE

STAGES = {"train_classifier": "classifier", "train_dit": "generator"}


@pytest.fixture(scope="module")
def workspace(processed: Path, tmp_path_factory: pytest.TempPathFactory):
    """Makes directories to run one stage in, with small params; saves its state after every step."""

    def make(name: str) -> Path:
        path = tmp_path_factory.mktemp(name)
        shutil.copytree(processed, path / "data/processed")
        content = yaml.safe_load((ROOT / "params.yaml").read_text())
        content["classifier"] |= {"image_size": SIZE, "epochs": 8, "batch_size": 8}
        content["dit"] |= {"image_size": SIZE, "patch_size": 8, "width": 32, "depth": 2, "heads": 2}
        content["train"] |= {"steps": 400, "batch_size": 8, "guard_steps": 150, "sample_every": 150}
        content["compute"]["checkpoint_every_s"] = 0.3
        (path / "params.yaml").write_text(yaml.safe_dump(content))
        return path

    return make


def start(stage: str, workspace: Path) -> subprocess.Popen[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(ROOT / f"stages/{stage}.py")]
    return subprocess.Popen(
        command, cwd=workspace, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def wait_for_state(workspace: Path, process: subprocess.Popen[str]) -> None:
    """Return when the run has saved its state some times."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[0]
        for path in workspace.glob(".tinycats/runs/*/status.json"):
            if json.loads(path.read_text())["step"] >= 1 and (path.parent / "state.pt").exists():
                time.sleep(0.2)
                return
        time.sleep(0.02)
    raise AssertionError("no state was saved")


@pytest.fixture(scope="module")
def undisturbed(workspace):
    """The workspace of a run of the stage that was left alone."""

    @functools.cache
    def run(stage: str) -> Path:
        path = workspace("whole")
        process = start(stage, path)
        output, _ = process.communicate()
        assert process.returncode == 0, output
        return path

    return run


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_stopped_and_started_again_gives_the_same_bytes(
    workspace, undisturbed, stage: str, how: signal.Signals
) -> None:
    whole, broken = undisturbed(stage), workspace("broken")
    process = start(stage, broken)
    wait_for_state(broken, process)
    process.send_signal(how)
    output, _ = process.communicate()
    model = f"models/{STAGES[stage]}"
    assert not (broken / model).exists(), "it was stopped too late to show anything"
    if how == signal.SIGTERM:
        assert process.returncode == 143
        assert "stopped by SIGTERM after step" in output
    process = start(stage, broken)
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert "continues from step" in output

    names = [path.relative_to(whole) for path in sorted((whole / "models").rglob("*")) if path.is_file()]
    names += [path.relative_to(whole) for path in sorted((whole / "metrics").rglob("*")) if path.is_file()]
    assert len(names) > 5
    for name in names:
        assert (broken / name).read_bytes() == (whole / name).read_bytes(), name
