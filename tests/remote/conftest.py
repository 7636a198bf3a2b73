"""Stand-ins on the loopback address: a Hub for the real huggingface_hub, Modal for its real client.

huggingface_hub runs in processes of its own, since it reads HF_ENDPOINT at import.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT, SIZE
from tests.remote.hub_server import HubServer, User
from tests.remote.modal_double import Container, ModalDouble
from tests.unit.test_params import composed

WRITE, READ = "hf_write_secret", "hf_read_secret"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({WRITE: User("ann", "write"), READ: User("ann", "read")})
    yield server
    server.stop()


def hub_variables(server: HubServer, home: Path, token: str | None = WRITE) -> dict[str, str]:
    """What a process needs in its environment to take `server` for the Hub, as the user of `token`."""
    return {
        "HF_ENDPOINT": server.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_TOKEN": token or "",
    }


def hub_environment(server: HubServer, home: Path, token: str | None = WRITE) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT / "src"), **hub_variables(server, home, token)}


def run_python(
    code: str, environment: dict[str, str], *arguments: str | Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ModalDouble]:
    double = ModalDouble(tmp_path / "modal")
    double.start()
    yield double
    double.stop()


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package as it is, and one module more."""
    path = tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT / "src/tinycats", path / "tinycats", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/remote/light_job.py", path / "tinycats")
    return path


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """The light job ends when this file exists."""
    return tmp_path / "gate"


@dataclass
class Checkout:
    """A directory to run stages in that have a machine on Modal."""

    path: Path
    service: ModalDouble
    packages: Path

    def start(self, *command: str, **more_env: str) -> subprocess.Popen[str]:
        env = {
            **os.environ, "PYTHONPATH": str(self.packages), "OMP_NUM_THREADS": "1", **self.service.environment, **more_env
        }  # fmt: skip
        return subprocess.Popen(
            [sys.executable, *command],
            cwd=self.path,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def stage(self, name: str) -> subprocess.Popen[str]:
        return self.start(str(ROOT / f"stages/{name}.py"))

    def light(self, env: dict[str, str] | None = None, **arguments: Any) -> subprocess.Popen[str]:
        """Start the light job as the stage train_dit."""
        return self.start("-m", "tinycats.light_job", json.dumps(arguments), **(env or {}))

    def finish(self, process: subprocess.Popen[str], code: int = 0) -> str:
        output, _ = process.communicate()
        assert process.returncode == code, output + self.log()
        return output

    def tinycats(self, *arguments: str, code: int = 0) -> str:
        return self.finish(self.start("-m", "tinycats.cli", *arguments), code)

    def log(self) -> str:
        """What the containers printed."""
        logs = sorted(self.service.root.glob("containers/*/log"))
        return "\n".join(f"--- {log.parent.name}\n{log.read_text()}" for log in logs)


@pytest.fixture
def checkout(tmp_path: Path, service: ModalDouble, packages: Path) -> Callable[..., Checkout]:
    """Makes checkouts with small params; the arguments change `compute`."""

    def make(name: str = "checkout", **compute: Any) -> Checkout:
        path = tmp_path / name
        path.mkdir()
        for name in ("requirements.lock", "torch.lock"):
            shutil.copy(ROOT / name, path)
        content = composed("compute=modal")
        content["dit"] |= {"image_size": SIZE, "patch_size": 8, "width": 32, "depth": 1, "heads": 1}
        # Not auto: each container would measure what is fastest there
        content["train"] |= {"steps": 1200, "batch_size": 8, "precision": "fp32"}
        content["monitor"]["train_dit"] = {"guard_steps": 40, "sample_every": 200}
        content["compute"] |= {"checkpoint_every_s": 0.2, "retries": 2, **compute}
        (path / "params.yaml").write_text(yaml.safe_dump(content))
        return Checkout(path, service, packages)

    return make


def until(condition: Callable[[], Any], process: subprocess.Popen[str] | None = None) -> Any:
    """Wait for what `condition` returns, while the process runs."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        if found := condition():
            return found
        assert process is None or process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("it did not happen")


def checkpoints(service: ModalDouble) -> set[str]:
    """The committed checkpoints."""
    return {path.name for path in service.volume("tinycats").glob("runs/*/*/checkpoint-*.pt")}


def training(service: ModalDouble, process: subprocess.Popen[str], number: int = 1) -> Container:
    """The container of this number, when it has committed a checkpoint."""
    until(lambda: len(service.containers) >= number, process)
    before = checkpoints(service) if number > 1 else set()
    until(lambda: checkpoints(service) - before, process)
    return list(service.containers.values())[number - 1]


def error(output: str) -> str:
    """The one line that a stage ended with."""
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert output.splitlines()[-1] == line
    assert "Traceback" not in output
    return line


def record(checkout: Checkout) -> dict[str, Any]:
    (path,) = (checkout.path / ".tinycats/remote").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def attached(checkout: Checkout, gate: Path) -> str:
    """What the light job's command prints that attaches to a call which ends with the gate; after the line that says so."""
    process = checkout.light(gate=str(gate))
    assert process.stdout
    next(line for line in process.stdout if "attaches to the call fc-" in line)
    gate.touch()
    return checkout.finish(process)
