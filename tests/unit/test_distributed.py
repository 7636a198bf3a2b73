from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from tests.unit.training import ADVERSARY, generator_arguments, run_distillation
from tinycats.generator.training import train_generator
from tinycats.learning import distributed
from tinycats.runtime.compute.job import Job, run_here
from tinycats.runtime.errors import UserError


def losses(directory: Path) -> list[float]:
    return [row["loss"] for row in json.loads((directory / "metrics/train.json").read_text())]


def job(processes: int, arguments: dict[str, Any]) -> Job:
    return Job("train_dit", train_generator, {}, {}, arguments, Path(".tinycats"), processes)


def train(processed: Path, path: Path, processes: int, **changes: Any) -> list[float]:
    arguments = generator_arguments(processed, path, steps=16, batch_size=8, every_steps=1, **changes)
    run_here(job(processes, arguments))
    return losses(path)


@pytest.fixture(autouse=True)
def on_the_loopback(monkeypatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")


def test_two_processes_with_half_the_batch_each_equal_one(processed: Path, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    one = train(processed, tmp_path / "one", 1)
    two = train(processed, tmp_path / "two", 2)
    accumulated = train(processed, tmp_path / "accumulated", 2, accumulation=2)
    assert len(one) == 16
    assert two == pytest.approx(one, abs=1e-5)
    assert accumulated == pytest.approx(one, abs=1e-5)
    assert two != one  # they were added up in another order
    assert not list((tmp_path / "temporary").iterdir())


def test_two_processes_with_an_adversary_equal_one(processed: Path, tmp_path: Path) -> None:
    """Also in the running means of the logits, which no gradient carries from one process to the other."""
    adversary = ADVERSARY.model_copy(update={"consistency_weight": 0.5})
    changes = {"objective": "adversarial", "adversary": adversary, "steps": 5, "every_steps": 1}
    found = {}
    for name, processes, accumulation in (("one", 1, 1), ("two", 2, 2)):
        arguments = {"processed": processed, "path": tmp_path / name, "accumulation": accumulation, **changes}
        run_here(Job("distill", run_distillation, {}, {}, arguments, Path(".tinycats"), processes))
        figures = json.loads((tmp_path / name / "metrics/metrics.json").read_text())
        found[name] = [*losses(tmp_path / name), figures["logit_real"], figures["logit_made"]]
    assert len(found["one"]) == 7
    assert found["two"] == pytest.approx(found["one"], abs=1e-4)
    assert found["two"] != found["one"]  # they were added up in another order


def test_two_processes_continue_what_they_began(processed: Path, tmp_path: Path, capfd) -> None:
    whole = train(processed, tmp_path / "whole", 2)
    arguments = generator_arguments(processed, tmp_path / "broken", steps=7, batch_size=8, every_steps=1)
    run_here(job(2, arguments))
    capfd.readouterr()
    assert train(processed, tmp_path / "broken", 2) == whole
    assert capfd.readouterr().out.count("resumes from step 7") == 1
    models = [(tmp_path / name / "model/model.safetensors").read_bytes() for name in ("whole", "broken")]
    assert models[0] == models[1]


def test_more_processes_than_pairs_of_images_in_a_batch_is_one_line(processed: Path, tmp_path: Path, capfd) -> None:
    arguments = generator_arguments(processed, tmp_path, batch_size=2)
    with pytest.raises(SystemExit) as stopped:
        run_here(job(3, arguments))
    assert stopped.value.code == 1
    errors = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert errors == [
        "error: a batch of 2 cannot be shared by 3 processes, of which each takes a pair of images at least: "
        "lower compute.processes"
    ]


@pytest.mark.parametrize(("batch_size", "processes"), [(16, 1), (16, 2), (18, 4), (7, 2), (3, 2), (256, 8), (33, 5)])
def test_every_row_has_one_process_and_neighbours_have_the_same(batch_size: int, processes: int, monkeypatch) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: processes)
    rows = []
    for rank in range(processes):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        mine = distributed.rows_of_batch(batch_size)
        assert mine.start % 2 == 0
        rows.append(mine)
    assert [row for mine in rows for row in mine] == list(range(batch_size))
    # no process has fewer rows than that: all can make as many micro-batches, or batch norms wait for ever
    assert distributed.smallest_part(batch_size) == min(map(len, rows)) > 0


def test_in_this_process_the_error_is_the_jobs_own(processed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not fit"):
        run_here(Job("train_dit", failing_job, {}, {}, {}, tmp_path))


def test_processes_under_nohup_outlive_their_terminal(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        run_here(Job("train_dit", hung_up_job, {}, {}, {"directory": tmp_path}, tmp_path, processes=2))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert len(list(tmp_path.glob("outlived-*"))) == 2


def hung_up_job(directory: Path) -> None:
    os.kill(os.getppid(), signal.SIGHUP)
    time.sleep(1)  # the parent looks ten times a second
    (directory / f"outlived-{os.getpid()}").touch()


def failing_job() -> None:
    raise UserError("does not fit")
