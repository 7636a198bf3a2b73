"""The image's definition, taken apart: what it is made of, and that the jobs need nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT
from tests.remote.modal_double import ModalDouble
from tests.unit.test_locks import RUN, TORCH, locked, needed
from tinycats.runtime.compute_params import RemoteStage

STAGES = get_args(RemoteStage)


@pytest.fixture
def deployed(service: ModalDouble, checkout) -> ModalDouble:
    """The service after `modal deploy`."""
    there = checkout()
    there.packages = ROOT / "src"
    there.finish(there.start("-m", "modal", "deploy", "-m", "tinycats.runtime.compute.modal_app"))
    return service


def imported_by(stage: str) -> list[str]:
    """The modules of the project that a stage imports: its job, and what the job's arguments are made of."""
    tree = ast.parse((ROOT / f"stages/{stage}.py").read_text())
    names = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
    return [name for name in names if name.startswith("tinycats.")]


def test_the_jobs_import_from_exactly_the_files_of_the_image(deployed: ModalDouble, tmp_path: Path) -> None:
    (function,) = (each for each in deployed.functions.values() if each.function_name == "train_dit")
    files = {path: sha for mount in function.mount_ids for path, sha in deployed.mounts[mount].items()}
    held = {path: sha for path, sha in files.items() if path.startswith("/root/tinycats/")}
    source = {f"/root/{path.relative_to(ROOT / 'src')}" for path in (ROOT / "src/tinycats").rglob("*.py")}
    assert set(held) == source
    assert not [path for path in files if path.startswith("/root/") and path not in held]
    for path, sha in held.items():
        (tmp_path / path.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.lstrip("/")).write_bytes(deployed.blobs[sha])
    modules = sorted({name for stage in STAGES for name in imported_by(stage)} | {"tinycats.runtime.compute.modal_app"})
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "root")!r})
import importlib, importlib.metadata, json, os
for name in ("wandb", "sniffio", "defusedxml"):  # as in the image: others import them where they are installed, and do without
    sys.modules[name] = None
for name in {modules!r}:
    importlib.import_module(name)
ours = [module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "tinycats"]
owners = {{}}
for distribution in importlib.metadata.distributions():
    where, name = distribution.locate_file(''), distribution.name
    for line in (distribution.read_text("RECORD") or "").splitlines():
        owners[os.path.join(where, line.split(',')[0])] = name
files = {{getattr(module, "__file__", None) for module in list(sys.modules.values())}}
print(json.dumps([ours, sorted({{owners[file] for file in files if file in owners}})]))
"""
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    ours, distributions = json.loads(done.stdout.splitlines()[-1])
    assert len(ours) > 30
    assert all(Path(path).is_relative_to(tmp_path / "root") for path in ours)
    # what they import of others is in the lock, or comes with torch or Modal's own client
    imported = {canonicalize_name(name) for name in distributions}
    assert {"torch", "modal", "numpy"} <= imported
    unlocked = imported - set(locked(RUN)) - set(locked(TORCH)) - needed([Requirement("torch"), Requirement("modal")])
    assert not unlocked


def installs(service: ModalDouble, image_id: str) -> list[tuple[str, bytes]]:
    """The commands of an image that install locked packages, first to last, each with its list."""
    image = service.images[image_id]
    below = [found for base in image.base_images for found in installs(service, base.image_id)]
    files = {file.filename: file.data for file in image.context_files}
    return below + [
        (command, files["/.requirements.txt"])
        for command in image.dockerfile_commands
        if "-r /.requirements.txt" in command
    ]


def test_the_image_is_made_of_the_lock_files(deployed: ModalDouble) -> None:
    """torch's build for CUDA brings packages that are not locked; all others are checked by their hashes."""
    (function,) = (each for each in deployed.functions.values() if each.function_name == "train_dit")
    commands = deployed.image_commands(function.image_id)
    (packages, locked_packages), (torch, locked_torch) = installs(deployed, function.image_id)
    assert "pip install" in packages
    assert "--no-deps --require-hashes" in packages
    assert locked_packages == (ROOT / RUN).read_bytes()
    assert "--no-deps" not in torch
    assert locked_torch == (ROOT / TORCH).read_bytes()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert any(command.startswith("FROM python:" + version) for command in commands), commands


def test_there_is_one_function_for_each_stage_that_can_run_there(deployed: ModalDouble) -> None:
    assert {function.function_name for function in deployed.functions.values()} == {*STAGES, "check_gpu"}
    assert set(deployed.apps) == {"tinycats"}


def test_modal_run_lists_the_functions_and_their_options(checkout) -> None:
    there = checkout()
    listed = there.finish(there.start("-m", "modal", "run", "-m", "tinycats.runtime.compute.modal_app"), code=1)
    for stage in STAGES:
        assert f"- {stage} / app.{stage}" in listed
    options = there.finish(
        there.start("-m", "modal", "run", "-m", "tinycats.runtime.compute.modal_app::check_gpu", "--help")
    )
    assert "--size INTEGER" in options
