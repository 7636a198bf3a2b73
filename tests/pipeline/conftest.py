"""A clone of the project with a very small pipeline in it, run once for all tests here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from tests.conftest import ROOT
from tests.pipeline import forks

TINY = """# @package _global_
defaults:
  - override /classifier: tiny

data:
  source: synthetic
  images_per_class: 16
  size_px: 40
  extra: []
  watch: src/tinycats/sources/synthetic.py
preprocess: {test_fraction: 0.3, min_side_px: 16, other_class: other, features: null, near_duplicates: report}
classifier: {image_size: 40, crop_size: 36, epochs: 2, batch_size: 16}
dit: {image_size: 32, patch_size: 8, width: 32, depth: 1, heads: 1}
sampler: {steps: 4}
evaluate: {samples_per_class: 2, features: tf_efficientnet_lite0, latency_runs: 3}
quantize: {calibration_images: 16, samples_per_class: 2, max_accuracy_drop: 1.0, max_fd_increase: 100.0}
publish:
  data: {title: synthetic cats, licence: mit}
  gates: [{metric: evaluate.classifier.top1, bound: 0.0, direction: min}]
"""
TINY_CLASSIFIER = """defaults:
  - resnet18
  - _self_

arch: test_efficientnet
"""
TINY_TRAINING = """# @package _global_
defaults:
  - demo
  - _self_

train:
  schedule: constant
  steps: 40
  batch_size: 8
  lr: 0.002
distill: {steps: 20, batch_size: 8, levels: 2}
monitor:
  train_dit: {guard_steps: 40, sample_every: 20}
  distill: {sample_every: 10}
"""

LARGE = 1 << 17  # bytes


@dataclass(frozen=True)
class Project:
    """A checkout to run commands in."""

    path: Path
    fork: bool = True  # its stages instead of starting an interpreter for each

    def run(self, *command: str, check: bool = True, **more_env: str) -> subprocess.CompletedProcess[str]:
        python = [str(forks.directory())] if self.fork and sys.platform == "linux" else []
        env = {
            **os.environ,
            "PYTHONPATH": str(self.path / "src"),
            "PATH": os.pathsep.join([*python, str(Path(sys.executable).parent), os.environ["PATH"]]),
            "OMP_NUM_THREADS": "1",
            "GIT_AUTHOR_DATE": "1767225600 +0000",  # the same commits in every copy
            "GIT_COMMITTER_DATE": "1767225600 +0000",
            **more_env,
        }
        done = subprocess.run(command, cwd=self.path, env=env, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def dvc(self, *arguments: str, check: bool = True) -> str:
        done = self.run("dvc", *arguments, check=check)
        return done.stdout + done.stderr

    def read(self, path: str) -> bytes:
        return (self.path / path).read_bytes()

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--allow-empty", "--message", message)

    def ran(self, output: str) -> list[str]:
        """The stages that an output of `dvc repro` says were run."""
        return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def copy_project(path: Path, fork: bool = True) -> Project:
    """The working tree as git sees it, as a repository of its own with the tiny data set as default."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    for name in files:
        if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("metrics/"):
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, path / name)
    (path / "conf/classifier/tiny.yaml").write_text(TINY_CLASSIFIER)
    (path / "conf/data/tiny.yaml").write_text(TINY)
    (path / "conf/train/tiny.yaml").write_text(TINY_TRAINING)
    config = path / "conf/config.yaml"
    config.write_text(config.read_text().replace("data: synthetic", "data: tiny").replace("train: demo", "train: tiny"))
    project = Project(path, fork)
    project.run("git", "init", "--quiet")
    project.run("tinycats", "params")
    project.commit("Start")
    return project


def use_cache(path: Path) -> None:
    """Keep the cache of the project in `path` next to it."""
    (path / ".dvc/config.local").write_text(f"[cache]\n    dir = {path}-cache\n")


def make_reproduced(path: Path) -> None:
    """The tiny pipeline, run in `path`."""
    project = copy_project(path)
    use_cache(path)
    project.dvc("repro")
    project.commit("Run")
    if measured_precision().exists():
        shutil.copy(measured_precision(), f"{path}-precision.json")


def copy_reproduced(source: Path, path: Path, copy: Callable[[str, str], object]) -> None:
    """The finished run in `source` with its cache, in `path`."""
    shutil.copytree(source, path, symlinks=True, copy_function=copy)
    shutil.copytree(f"{source}-cache", f"{path}-cache", symlinks=True, copy_function=copy)
    use_cache(path)
    if Path(f"{source}-precision.json").exists():
        shutil.copy(f"{source}-precision.json", f"{path}-precision.json")
    use_precision_of(path)


def measured_precision() -> Path:
    """Where this test's user keeps which precision is fastest: homes differ, and so would answers on a busy machine."""
    return Path.home() / ".cache/tinycats/precision.json"


def use_precision_of(path: Path) -> None:
    """Train in the precision of the run in `path`, where one was measured."""
    if Path(f"{path}-precision.json").exists():
        measured_precision().parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(f"{path}-precision.json", measured_precision())


def link_large(source: str, target: str) -> None:
    """Copy a file, or link a large one: models, checkpoints and data are replaced by what runs here, not written into."""
    if Path(source).stat().st_size > LARGE:
        os.link(source, target)
    else:
        shutil.copy2(source, target)


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Project:
    """The tiny pipeline, run once for all workers, to read only: tests that run anything take a `project` instead.

    `make test` has run it before, for the browser tests too, and names where: TINY_PROJECT.
    """
    base = tmp_path_factory.getbasetemp()
    path = (base if worker_id == "master" else base.parent) / "reproduced"
    whole = Path(f"{path}-whole")
    with FileLock(f"{path}.lock"):
        if not whole.exists():
            for left in (path, f"{path}-cache"):  # by another worker, whose run failed
                shutil.rmtree(left, ignore_errors=True)
            if made := os.environ.get("TINY_PROJECT"):
                copy_reproduced(Path(made), path, shutil.copy2)
            else:
                make_reproduced(path)
            whole.touch()
    return Project(path)


@pytest.fixture
def project(reproduced: Project, tmp_path: Path) -> Project:
    """A copy of the finished run and of its cache, to change: what one test runs is not cached for the next."""
    path = tmp_path / "project"
    copy_reproduced(reproduced.path, path, link_large)
    return Project(path)
