from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import CliRunner

from tinycats.cli import app
from tinycats.runtime.status import Status, condition, find_runs, read_status, write_status

FIELDS: dict[str, Any] = {
    "stage": "train_dit", "state": "running", "step": 30, "steps": 100, "loss": 0.5, "images_per_second": 20.0, "eta_s": 70.0,
    "memory_mb": 300.0, "precision": "float32", "saved_step": 20,
}  # fmt: skip


def write(directory: Path, **changes: Any) -> Status:
    directory.mkdir(parents=True, exist_ok=True)
    write_status(directory, **{**FIELDS, **changes})
    status = read_status(directory)
    assert status is not None
    return status


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_is_running_stale_crashed_or_what_it_said_last(tmp_path: Path, gone: int) -> None:
    now = time.time()
    status = write(tmp_path)
    assert condition(status, now) == "running"
    assert condition(status, now + 61) == "stale"
    assert condition(status.model_copy(update={"pid": gone}), now) == "crashed"
    reused = status.model_copy(update={"process_started_at": psutil.Process().create_time() - 100})
    assert condition(reused, now) == "crashed"
    for said in ("finished", "stopped", "failed"):
        assert condition(write(tmp_path, state=said), now + 1000) == said


def test_a_status_of_another_version_is_none(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text('{"step": 3}')
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text("{")
    assert read_status(tmp_path) is None


def test_runs_here_and_in_the_queue_are_found(tmp_path: Path) -> None:
    write(tmp_path / ".tinycats/runs/train_dit-1", stage="first")
    write(tmp_path / ".dvc/tmp/exps/tmp123/.tinycats/runs/train_dit-2", stage="second")
    assert [run.stage for run in find_runs(tmp_path)] == ["second", "first"]


def test_the_command_shows_them(tmp_path: Path) -> None:
    runs = tmp_path / ".tinycats/runs"
    invoke = lambda *arguments: CliRunner().invoke(app, ["status", "--root", str(tmp_path), *arguments]).output  # noqa: E731
    assert "nothing is training" in invoke()
    write(runs / "a")
    write(runs / "b", state="finished", stage="train_classifier", step=100)
    table = invoke()
    for word in ("train_dit", "running", "30/100", "0.5000", "20", "0:01:10", "300 MB", "0 s ago"):
        assert word in table
    assert "train_classifier" not in table
    assert "train_classifier" in invoke("--all")
    shown = json.loads(invoke("--json"))
    assert [(run["stage"], run["condition"]) for run in shown] == [
        ("train_classifier", "finished"),
        ("train_dit", "running"),
    ]


def test_watching_shows_what_changes(tmp_path: Path) -> None:
    runs = tmp_path / ".tinycats/runs/a"
    write(runs, step=5)
    command = [sys.executable, "-m", "tinycats.cli", "status", "--watch", "--root", str(tmp_path)]
    screen, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "NO_COLOR": "1"}

    def heed_interrupts() -> None:
        """A shell that puts the tests into the background has them ignore SIGINT."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(command, stdout=terminal, env=environment, preexec_fn=heed_interrupts)
    os.close(terminal)
    shown = ""
    try:
        for step in (5, 77):
            write(runs, step=step)
            while f" {step}/100" not in shown:
                shown += os.read(screen, 1 << 16).decode()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        os.close(screen)
