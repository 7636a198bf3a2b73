"""A Hub on the loopback address, and the real huggingface_hub in processes of its own, which read HF_ENDPOINT at import."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.remote.hub_server import HubServer, User

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


def run_python(code: str, environment: dict[str, str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
