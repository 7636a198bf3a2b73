from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tinycats.data.randomness import generator_for
from tinycats.learning.loop import SMOKE_STEPS, Batch, LoopSettings, learning_rate, train
from tinycats.runtime.errors import UserError
from tinycats.runtime.guard import LossGuard
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory, open_run

SETTINGS = LoopSettings(
    steps=20, batch_size=8, accumulation=1, lr=0.05, warmup_steps=4, schedule="constant", beta2=0.95, weight_decay=0.0,
    clip_norm=1.0,
    ema_decay=0.9, guard_steps=20, precision="fp32", compile=False, log_every=5, checkpoint_every_s=1e9, smoke=False,
)  # fmt: skip


class LineTask:
    """Fits a line; `fail_at` raises at that step, as a crash would."""

    name = "line"
    error: float | None = None

    def __init__(self, fail_at: int | None = None, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Linear(4, 1)
        self.fail_at, self.stop_at = fail_at, stop_at
        self.steps_seen: list[int] = []

    def batch(self, step: int) -> Batch:
        if step == self.fail_at:
            raise KeyboardInterrupt
        self.steps_seen.append(step)
        x = torch.randn(8, 4, generator=generator_for(0, "line", step))
        return {"indices": torch.arange(8) + 8 * step, "x": x, "y": x.sum(1, keepdim=True)}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return (model(batch["x"]) - batch["y"]).square().mean()

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        return done == self.stop_at

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def run(task: LineTask, path: Path, **changes) -> nn.Module:
    history = History(path / "live", path / "images")
    return train(task, replace(SETTINGS, **changes), torch.device("cpu"), RunDirectory(path / "run"), history)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def test_it_learns_and_returns_the_average(tmp_path: Path) -> None:
    task = LineTask()
    averaged = run(task, tmp_path, steps=200, guard_steps=100)
    assert (averaged.weight - 1).abs().max() < 0.1
    assert not torch.equal(averaged.weight, task.model.weight)


def test_a_crash_and_a_second_start_give_the_same_weights(tmp_path: Path) -> None:
    whole = LineTask()
    whole_average = weights(run(whole, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(LineTask(fail_at=13), tmp_path / "broken", checkpoint_every_s=0.0)
    continued = LineTask()
    average = weights(run(continued, tmp_path / "broken"))
    assert continued.steps_seen == list(range(13, 20))
    assert same(average, whole_average)
    assert same(weights(continued.model), weights(whole.model))
    curves = [(tmp_path / name / "live/plots/metrics/loss.tsv").read_bytes() for name in ("whole", "broken")]
    assert curves[0] == curves[1]


def test_more_steps_continue_a_finished_run(tmp_path: Path) -> None:
    run(LineTask(), tmp_path / "run", steps=10)
    longer = LineTask()
    average = weights(run(longer, tmp_path / "run", steps=20))
    assert longer.steps_seen == list(range(10, 20))
    assert same(average, weights(run(LineTask(), tmp_path / "whole", steps=20)))


def test_fewer_steps_start_over(tmp_path: Path) -> None:
    run(LineTask(), tmp_path / "run", steps=20)
    shorter = LineTask()
    average = weights(run(shorter, tmp_path / "run", steps=10))
    assert shorter.steps_seen == list(range(10))
    assert same(average, weights(run(LineTask(), tmp_path / "whole", steps=10)))


def test_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    whole = run(LineTask(), tmp_path / "whole")
    parts = run(LineTask(), tmp_path / "parts", accumulation=4)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-5, atol=1e-6)


def test_out_of_memory_halves_the_micro_batch(tmp_path: Path) -> None:
    class Hungry(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            if len(batch["x"]) > 2:
                raise torch.OutOfMemoryError
            return super().loss(model, batch)

    small = run(Hungry(), tmp_path / "hungry")
    whole = run(LineTask(), tmp_path / "whole")
    torch.testing.assert_close(small.weight, whole.weight, rtol=1e-5, atol=1e-6)


def test_early_stopping_stays_stopped(tmp_path: Path) -> None:
    first = LineTask(stop_at=6)
    average = weights(run(first, tmp_path))
    assert first.steps_seen == list(range(6))
    again = LineTask(stop_at=6)
    assert same(weights(run(again, tmp_path)), average)
    assert again.steps_seen == []


def states(path: Path) -> list[Path]:
    return sorted((path / "run").glob("state-*.pt"))


def test_the_two_newest_states_are_kept(tmp_path: Path) -> None:
    run(LineTask(), tmp_path, checkpoint_every_s=0.0)
    assert [path.name.split("-")[1] for path in states(tmp_path)] == ["000000019", "000000020"]


@pytest.mark.parametrize("damage", [lambda content: content[:500], lambda content: content[:-9] + b"?" + content[-8:]])
def test_a_damaged_state_is_left_for_the_one_before_it(tmp_path: Path, capsys, damage) -> None:
    whole = weights(run(LineTask(), tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(LineTask(fail_at=13), tmp_path, checkpoint_every_s=0.0)
    newest = states(tmp_path)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    continued = LineTask()
    average = weights(run(continued, tmp_path))
    assert f"{newest}: is damaged; goes on from the state before it, of step 12" in capsys.readouterr().out
    assert continued.steps_seen == list(range(12, 20))
    assert same(average, whole)


def test_where_all_states_are_damaged_it_is_one_line(tmp_path: Path) -> None:
    run(LineTask(), tmp_path, checkpoint_every_s=0.0)
    for state in states(tmp_path):
        state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(UserError, match=r"damaged, and there is none before it; delete .*run to start over"):
        run(LineTask(), tmp_path)


def test_a_state_is_whole_or_not_there(tmp_path: Path, monkeypatch) -> None:
    """The disk is full in the middle of a save."""

    def fails(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyboardInterrupt):
        run(LineTask(fail_at=13), tmp_path, checkpoint_every_s=0.0)
    with monkeypatch.context() as patch:
        patch.setattr("tinycats.runtime.run_directory.torch.save", fails)
        with pytest.raises(OSError, match="No space"):
            run(LineTask(), tmp_path, checkpoint_every_s=0.0)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *(path.name for path in states(tmp_path)), "status.json",
    ]  # fmt: skip
    continued = LineTask()
    run(continued, tmp_path)
    assert continued.steps_seen == list(range(13, 20))


def test_the_newest_states_and_the_best_are_kept(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    for step, error in enumerate([None, 0.5, 0.25, 0.75, 0.5, 0.5], 1):
        directory.save_state(step, {}, error)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert [int(name.split("-")[1]) for name in kept] == [3, 5, 6]
    assert kept[0].endswith("-0.250000.pt")
    state = directory.load_state(6)
    assert state is not None
    assert state["step"] == 6


def test_what_a_killed_save_left_is_deleted(tmp_path: Path) -> None:
    directory = open_run(tmp_path, "line", "1").path
    (directory / ".state.pt.abc").write_bytes(b"half")
    open_run(tmp_path, "line", "1")
    assert list(directory.iterdir()) == []


def test_old_runs_of_a_stage_are_deleted(tmp_path: Path) -> None:
    for number in range(6):
        directory = open_run(tmp_path, "line", str(number)).path
        os.utime(directory, (number, number))
    other = open_run(tmp_path, "other", "1").path
    open_run(tmp_path, "line", "0")  # an old one that is gone: started anew
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line-0", "line-3", "line-4", "line-5", other.name]


def test_a_smoke_run_takes_ten_steps_and_evaluates_nothing(tmp_path: Path) -> None:
    class NoEvaluation(LineTask):
        def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
            raise AssertionError("evaluated")

    task = NoEvaluation()
    run(task, tmp_path, steps=SMOKE_STEPS, smoke=True, lr=1e-30)  # the loss does not fall
    assert task.steps_seen == list(range(10))


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_step_and_says_how_to_go_on(tmp_path: Path, capsys, received: signal.Signals) -> None:
    class Interrupted(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            if int(batch["indices"][0]) == 8 * 6:  # within step 7
                os.kill(os.getpid(), received)
            return super().loss(model, batch)

    before = signal.signal(received, signal.SIG_DFL)  # these tests may themselves run under nohup
    try:
        with pytest.raises(SystemExit) as stopped:
            run(Interrupted(), tmp_path)
        assert signal.getsignal(received) is signal.SIG_DFL
    finally:
        signal.signal(received, before)
    assert stopped.value.code == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}[received]
    message = f"line: stopped by {received.name} after step 7; run the same command again to go on\n"
    assert capsys.readouterr().err.endswith(message)
    continued = LineTask()
    average = weights(run(continued, tmp_path))
    assert continued.steps_seen == list(range(7, 20))
    assert same(average, weights(run(LineTask(), tmp_path / "whole")))


def test_a_training_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    class HungUp(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            os.kill(os.getpid(), signal.SIGHUP)
            return super().loss(model, batch)

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        average = weights(run(HungUp(), tmp_path))
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
    assert same(average, weights(run(LineTask(), tmp_path / "whole")))


@pytest.mark.parametrize(
    ("factor", "message"), [(0.0, "exactly 0"), (float("nan"), "is nan"), (float("inf"), "is inf")]
)
def test_a_loss_that_cannot_be_right_stops_the_run(tmp_path: Path, factor: float, message: str) -> None:
    class Broken(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            return super().loss(model, batch) * (factor if int(batch["indices"][0]) == 24 else 1)

    with pytest.raises(UserError, match=f"step 4 .*{message}"):
        run(Broken(), tmp_path, checkpoint_every_s=0.0)
    state = RunDirectory(tmp_path / "run").load_state(20)
    assert state is not None
    assert state["step"] == 3  # the last good state stays


def test_a_loss_that_does_not_fall_stops_the_run(tmp_path: Path) -> None:
    class SameBatch(LineTask):
        def batch(self, step: int) -> Batch:
            return super().batch(0)

    with pytest.raises(UserError, match="has not fallen in the first 20 steps"):
        run(SameBatch(), tmp_path, lr=1e-30)


def test_a_guard_that_sees_a_falling_loss_is_silent() -> None:
    guard = LossGuard(20)
    for step in range(40):
        guard.check(step, 1 / (step + 1), [])


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [learning_rate(step, 1.0, 4, 20, "cosine") for step in range(20)]
    assert rates[:4] == [0.25, 0.5, 0.75, 1.0]
    assert rates[12] == pytest.approx(0.5)
    assert rates[4] == 1.0
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert learning_rate(19, 1.0, 4, 20, "constant") == 1.0


def test_the_status_file_says_how_far_it_is(tmp_path: Path) -> None:
    run(LineTask(), tmp_path)
    status = json.loads((tmp_path / "run" / "status.json").read_text())
    assert (status["stage"], status["state"], status["step"], status["steps"]) == ("line", "finished", 20, 20)
    assert status["saved_step"] == 20
    assert status["images_per_second"] > 0
