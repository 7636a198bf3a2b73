"""The pipeline from Python: a project of one's own, and runs in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tinycats.api.models import project_root
from tinycats.runtime.errors import UserError
from tinycats.runtime.git import git

IDENTITY = {"user.name": "tinycats", "user.email": "tinycats@localhost"}


def new_project(folder: str | os.PathLike[str]) -> Path:
    """Clone the project here, as it was last committed, into `folder`, where runs leave this one alone; return its path.

    Raises UserError where `folder` exists and is not empty, or here is no git repository.
    """
    path = Path(folder).resolve()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(f"{path}: exists and is not empty; name another folder")
    root = project_root().resolve()
    git(root, "clone", "--quiet", str(root), str(path))
    known = git(path, "config", "--list", "--name-only").decode().splitlines()
    for name, value in IDENTITY.items():  # experiments are commits, which need somebody's name
        if name not in known:
            git(path, "config", name, value)
    return path


def run_experiment(
    *settings: str, name: str | None = None, stages: Sequence[str] = (), root: str | os.PathLike[str] = "."
) -> list[str]:
    """`dvc exp run` in the project `root`; return the names of the stages that ran, in their order.

    `settings`: as -S takes them, each "key=value" or "group=option"; what is not among them is as conf/ has it. `name` of the
    experiment: None lets DVC choose one. `stages`: run these and what they need; none: all. The code of `root` runs, the models
    and metrics are left there, and `dvc.api.exp_show` compares them. Raises UserError with what the failed run said last.
    """
    options = [option for setting in settings for option in ("--set-param", setting)]
    if name is not None:
        options += ["--name", name]
    found = Path(root).resolve()
    paths = [str(found / "src"), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "exp", "run", *options, *stages],
        cwd=found, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise UserError(f"{found}: the run failed: {_reason((done.stdout + done.stderr).splitlines())}")
    return [line.split("'")[1] for line in done.stdout.splitlines() if line.startswith("Running stage '")]


def _reason(lines: Sequence[str]) -> str:
    """What a stage said, else what DVC said, else the last line."""
    for start in ("error: ", "ERROR: "):
        if said := [line.removeprefix(start) for line in lines if line.startswith(start)]:
            return said[0]
    return lines[-1] if lines else "it said nothing"
