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
from tinycats.runtime.run_directory import KEEP_RUNS, open_run
from tinycats.runtime.status import Run, Status, find_runs, read_status, write_status

FIELDS: dict[str, Any] = {
    "stage": "train_dit", "state": "running", "step": 30, "steps": 100, "loss": 0.5, "images_per_second": 20.0, "eta_s": 70.0,
    "memory_mb": 300.0, "precision": "float32", "saved_step": 20,
}  # fmt: skip


def write(directory: Path, **changes: Any) -> Status:
    """Write the status of a run of this process, or of the process `pid`."""
    directory.mkdir(parents=True, exist_ok=True)
    write_status(directory, **{**FIELDS, **changes})
    status = read_status(directory)
    assert status is not None
    return status


def condition(status: Status) -> str:
    return Run(Path("run"), status).condition()


def invoke(root: Path, *arguments: str) -> str:
    return CliRunner().invoke(app, ["status", "--root", str(root), *arguments], env={"COLUMNS": "200"}).output


@pytest.fixture
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def test_a_run_is_running_stale_crashed_or_what_it_said_last(tmp_path: Path, gone: int) -> None:
    status = write(tmp_path)
    assert condition(status) == "running"
    assert condition(status.model_copy(update={"written_at": time.time() - 61})) == "stale"
    assert condition(status.model_copy(update={"pid": gone})) == "crashed"
    reused = status.model_copy(update={"process_started_at": psutil.Process().create_time() - 100})
    assert condition(reused) == "crashed"
    for said in ("finished", "stopped", "failed"):
        said_long_ago = write(tmp_path, state=said).model_copy(update={"written_at": time.time() - 1000})
        assert condition(said_long_ago) == said


def test_a_status_of_another_version_is_none(tmp_path: Path) -> None:
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text('{"step": 3}')
    assert read_status(tmp_path) is None
    (tmp_path / "status.json").write_text("{")
    assert read_status(tmp_path) is None


def test_runs_here_and_in_the_queue_are_found(tmp_path: Path) -> None:
    write(tmp_path / ".tinycats/runs/train_dit-1", stage="first")
    write(tmp_path / ".dvc/tmp/exps/tmp123/.tinycats/runs/train_dit-2", stage="second")
    assert [run.status.stage for run in find_runs(tmp_path) if run.status] == ["second", "first"]


def test_the_command_shows_them(tmp_path: Path) -> None:
    runs = tmp_path / ".tinycats/runs"
    assert "nothing is training" in invoke(tmp_path)
    write(runs / "a")
    write(runs / "b", state="finished", stage="train_classifier", step=100)
    table = invoke(tmp_path)
    for word in ("train_dit", "running", "30/100", "0.5000", "20", "0:01:10", "300 MB", "0 s ago"):
        assert word in table
    assert "train_classifier" not in table
    assert "train_classifier" in invoke(tmp_path, "--all")
    shown = json.loads(invoke(tmp_path, "--json"))
    assert [(run["stage"], run["condition"]) for run in shown] == [
        ("train_classifier", "finished"),
        ("train_dit", "running"),
    ]


def checkpoint(run: Path, megabytes: int) -> None:
    run.mkdir(parents=True, exist_ok=True)
    (run / "checkpoint.pt").write_bytes(bytes(megabytes << 20))


def test_all_runs_are_listed_with_their_size(tmp_path: Path, gone: int) -> None:
    runs = tmp_path / ".tinycats/runs"
    for number, (name, changes) in enumerate(
        {
            "train_dit-1": {"pid": gone},
            "train_dit-2": {"state": "stopped"},
            "train_dit-3": {"state": "finished"},
        }.items(),
        1,
    ):
        write(runs / name, **changes)
        checkpoint(runs / name, number)
    checkpoint(runs / "distill-4", 4)
    lines = [line.split() for line in invoke(tmp_path, "--all").splitlines()[1:]]
    assert {(line[0], line[1], line[-2]) for line in lines} == {
        ("train_dit", "crashed", "1.0"), ("train_dit", "stopped", "2.0"), ("train_dit", "finished", "3.0"),
        ("distill-4", "unreadable", "4.0"),
    }  # fmt: skip
    assert {run["condition"]: run["bytes"] >> 20 for run in json.loads(invoke(tmp_path, "--json"))} == {
        "crashed": 1, "stopped": 2, "finished": 3, "unreadable": 4,
    }  # fmt: skip


OPEN = """
import sys
from pathlib import Path
from tinycats.runtime.run_directory import open_run
run = open_run(Path(sys.argv[1]), *sys.argv[2].split("-"))
print("open", flush=True)
sys.stdin.read()
"""


def test_unfinished_runs_are_deleted_when_asked_but_never_a_running_one(tmp_path: Path, gone: int) -> None:
    runs = tmp_path / ".tinycats/runs"
    queued = tmp_path / ".dvc/tmp/exps/tmp1/.tinycats/runs/distill-5"
    write(runs / "train_dit-running")
    write(runs / "train_dit-finished", state="finished", pid=gone)
    write(runs / "train_dit-stopped", state="stopped", pid=gone)
    write(runs / "train_dit-resumed", pid=gone)
    write(queued, pid=gone)
    checkpoint(queued, 2)
    checkpoint(runs / "train_dit-begun", 1)
    (runs / "train_dit-begun/status.json").write_text("{")
    opened = [  # of these there is no status yet, or that of the process before
        subprocess.Popen(
            [sys.executable, "-c", OPEN, runs, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for name in ("train_dit-resumed", "train_dit-started")
    ]
    for process in opened:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
    lines = invoke(tmp_path, "--prune").splitlines()
    assert set(lines[:-1]) == {
        f"deleted {queued}: crashed at step 30 of 100, 2.0 MB",
        f"deleted {runs}/train_dit-begun: unreadable, 1.0 MB",
        f"deleted {runs}/train_dit-stopped: stopped at step 30 of 100, 0.0 MB",
        *(f"kept {runs}/train_dit-{name}: in use" for name in ("resumed", "running", "started")),
    }
    assert lines[-1] == "deleted 3 unfinished runs, 3.0 MB"
    left = {f"train_dit-{name}" for name in ("running", "finished", "resumed", "started")}
    assert {path.name for path in runs.iterdir()} == left
    for process in opened:
        process.kill()
        process.communicate()
    assert "deleted 2 unfinished runs" in invoke(tmp_path, "--prune")
    assert {path.name for path in runs.iterdir()} == {"train_dit-running", "train_dit-finished"}


def finish_runs(runs: Path, count: int) -> None:
    for number in range(count):
        write(open_run(runs, "train_dit", f"finished{number}").path, state="finished")


def test_newer_runs_delete_finished_ones_alone(tmp_path: Path, gone: int) -> None:
    write(open_run(tmp_path, "train_dit", "stopped").path, state="stopped", pid=gone)
    write(open_run(tmp_path, "train_dit", "crashed").path, pid=gone)
    open_run(tmp_path, "train_dit", "begun")
    resumed = open_run(tmp_path, "train_dit", "resumed")  # with more steps
    write(resumed.path, state="finished", pid=gone)
    os.utime(resumed.path, (0, 0))
    finish_runs(tmp_path, KEEP_RUNS + 3)
    names = {path.name.removeprefix("train_dit-") for path in tmp_path.iterdir()}
    assert {name for name in names if not name.startswith("finished")} == {"stopped", "crashed", "begun", "resumed"}
    assert len(names) == 4 + KEEP_RUNS


def test_no_process_but_the_first_touches_other_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinycats.runtime.run_directory.is_main", lambda: False)
    finish_runs(tmp_path, KEEP_RUNS + 3)
    assert len(list(tmp_path.iterdir())) == KEEP_RUNS + 3


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
