from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, SIZE
from tests.remote.modal_double import ModalDouble
from tests.unit.test_params import composed


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ModalDouble]:
    double = ModalDouble(tmp_path / "modal")
    double.start()
    yield double
    double.stop()


@dataclass
class Checkout:
    """A directory to run stages in that have a machine on Modal."""

    path: Path
    service: ModalDouble

    def start(self, *command: str, **more_env: str) -> subprocess.Popen[str]:
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "src"),
            "OMP_NUM_THREADS": "1",
            **self.service.environment,
            **more_env,
        }
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stage(self, name: str, **more_env: str) -> subprocess.Popen[str]:
        return self.start(str(ROOT / f"stages/{name}.py"), **more_env)

    def finish(self, name: str, code: int = 0, **more_env: str) -> str:
        process = self.stage(name, **more_env)
        output, _ = process.communicate()
        assert process.returncode == code, output + self.log()
        return output

    def tinycats(self, *arguments: str, code: int = 0) -> str:
        process = self.start("-m", "tinycats.cli", *arguments)
        output, _ = process.communicate()
        assert process.returncode == code, output
        return output

    def log(self) -> str:
        """What the containers printed."""
        logs = sorted(self.service.root.glob("containers/*/log"))
        return "\n".join(f"--- {log.parent.name}\n{log.read_text()}" for log in logs)


@pytest.fixture
def checkout(processed: Path, tmp_path: Path, service: ModalDouble) -> Callable[..., Checkout]:
    """Makes checkouts with small params; `compute` and `train` change more of them."""

    def make(name: str = "checkout", compute: dict[str, Any] | None = None, **train: Any) -> Checkout:
        path = tmp_path / name
        path.mkdir()
        shutil.copytree(processed, path / "data/processed")
        shutil.copy(ROOT / "requirements.lock", path)
        content = composed("compute=modal")
        content["classifier"] |= {"image_size": SIZE, "epochs": 2, "batch_size": 8}
        content["dit"] |= {"image_size": SIZE, "patch_size": 8, "width": 32, "depth": 1, "heads": 1}
        content["train"] |= {"steps": 40, "batch_size": 8, "guard_steps": 40, "sample_every": 20, **train}
        content["compute"] |= {"checkpoint_every_s": 0.2, "retries": 2, **(compute or {})}
        (path / "params.yaml").write_text(yaml.safe_dump(content))
        return Checkout(path, service)

    return make
