from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tests.unit.training import TRAIN, split
from tinycats.data.randomness import generator_for
from tinycats.learning.average import WeightAverage
from tinycats.learning.interface import Batch
from tinycats.learning.loop import learning_rate, train
from tinycats.learning.optimizer import adamw
from tinycats.runtime.checkpoints import Checkpoints
from tinycats.runtime.errors import UserError
from tinycats.runtime.guard import LossGuard
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory, open_run
from tinycats.runtime.run_settings import RunSettings
from tinycats.runtime.status import write_status

TRAINING = TRAIN.model_copy(update={"steps": 20, "lr": 0.05, "warmup_steps": 4})
EVERY_STEP = {"checkpoint_every_s": 0.0, "checkpoint_share": 1e9}
SELDOM = {"checkpoint_every_s": 1e9}


class LineTask:
    """Fits a line; `fail_at` raises at that step, as a crash would."""

    name = "line"
    warmup_steps = 4
    dtype = torch.float32
    lr_scales: Mapping[str, float] = {}

    def __init__(self, fail_at: int | None = None, stop_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Linear(4, 1)
        self.fail_at, self.stop_at, self.steps = fail_at, stop_at, 0
        self.steps_seen: list[int] = []

    def indices(self, step: int) -> list[int]:
        return [8 * step + row for row in range(8)]

    def batches(self, start: int, rows: range) -> Iterator[Batch]:
        for step in range(start, self.steps):
            if step == self.fail_at:
                raise KeyboardInterrupt
            self.steps_seen.append(step)
            yield self.batch(step)

    def batch(self, step: int) -> Batch:
        x = torch.randn(8, 4, generator=generator_for(0, "line", step))
        return {"step": torch.full((8,), step), "x": x, "y": x.sum(1, keepdim=True)}

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return (model(batch["x"]) - batch["y"]).square().mean()

    def validates(self, done: int) -> bool:
        return done == self.stop_at

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        return True

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def run(task: LineTask, path: Path, **changes: Any) -> nn.Module:
    """Train with TRAINING and a RunSettings, changed so."""
    training, others = split(TRAINING, changes)
    settings = RunSettings(path / "runs", device="cpu", every_steps=5, **{"guard_steps": 16, **SELDOM, **others})
    task.steps = training.steps
    history = History(path / "live", path / "images")
    model = train(task, training, settings, torch.device("cpu"), RunDirectory(path / "run"), history)
    history.finish({})
    return model


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
        run(LineTask(fail_at=13), tmp_path / "broken", **EVERY_STEP)
    resumed = LineTask()
    average = weights(run(resumed, tmp_path / "broken"))
    assert resumed.steps_seen == list(range(13, 20))
    assert same(average, whole_average)
    assert same(weights(resumed.model), weights(whole.model))
    curves = [(tmp_path / name / "live/train.json").read_bytes() for name in ("whole", "broken")]
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


def checkpoints(path: Path) -> list[Path]:
    return sorted((path / "run").glob("checkpoint-*.pt"))


def test_the_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run(LineTask(), tmp_path, **EVERY_STEP)
    assert [path.name.split("-")[1] for path in checkpoints(tmp_path)] == ["000000019", "000000020"]


@pytest.mark.parametrize("damage", [lambda content: content[:500], lambda content: content[:-9] + b"?" + content[-8:]])
def test_a_damaged_state_is_left_for_the_one_before_it(tmp_path: Path, capsys, damage) -> None:
    whole = weights(run(LineTask(), tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(LineTask(fail_at=13), tmp_path, **EVERY_STEP)
    newest = checkpoints(tmp_path)[-1]
    newest.write_bytes(damage(newest.read_bytes()))
    resumed = LineTask()
    average = weights(run(resumed, tmp_path))
    assert f"{newest}: is damaged; resumes from the checkpoint before it, of step 12" in capsys.readouterr().out
    assert resumed.steps_seen == list(range(12, 20))
    assert same(average, whole)


def test_where_all_states_are_damaged_it_is_one_line(tmp_path: Path) -> None:
    run(LineTask(), tmp_path, **EVERY_STEP)
    for state in checkpoints(tmp_path):
        state.write_bytes(state.read_bytes()[:500])
    with pytest.raises(UserError, match=r"damaged, and there is no earlier checkpoint; delete .*run to start over"):
        run(LineTask(), tmp_path)


def test_a_state_is_whole_or_not_there(tmp_path: Path, monkeypatch) -> None:
    """The disk is full in the middle of a save."""

    def fails(state: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(KeyboardInterrupt):
        run(LineTask(fail_at=13), tmp_path, **EVERY_STEP)
    with monkeypatch.context() as patch:
        patch.setattr("tinycats.runtime.run_directory.torch.save", fails)
        with pytest.raises(OSError, match="No space"):
            run(LineTask(), tmp_path, **EVERY_STEP)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        *(path.name for path in checkpoints(tmp_path)), "status.json",
    ]  # fmt: skip
    resumed = LineTask()
    run(resumed, tmp_path)
    assert resumed.steps_seen == list(range(13, 20))


def test_what_a_killed_save_left_is_deleted(tmp_path: Path) -> None:
    directory = open_run(tmp_path, "line", "1").path
    (directory / ".checkpoint.pt.0123456789abcdef.tmp").write_bytes(b"half")
    open_run(tmp_path, "line", "1")
    assert list(directory.iterdir()) == []


def finish(directory: Path) -> None:
    fields = {
        "stage": "line",
        "step": 1,
        "steps": 1,
        "loss": 1.0,
        "images_per_second": 1.0,
        "eta_s": 0.0,
        "memory_mb": 1.0,
    }
    write_status(directory, **fields, state="finished", precision="float32", saved_step=1)


def test_old_finished_runs_of_a_stage_are_deleted(tmp_path: Path) -> None:
    for number in range(6):
        directory = open_run(tmp_path, "line", str(number)).path
        finish(directory)
        os.utime(directory, (number, number))
    other = open_run(tmp_path, "other", "1").path
    open_run(tmp_path, "line", "0")  # an old one that is gone: started over
    assert sorted(path.name for path in tmp_path.iterdir()) == ["line-0", "line-3", "line-4", "line-5", other.name]


def test_unfinished_runs_are_kept(tmp_path: Path) -> None:
    for number in range(9):
        open_run(tmp_path, "line", str(number))
    assert len(list(tmp_path.iterdir())) == 9


@pytest.mark.parametrize("received", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_the_step_and_says_how_to_go_on(tmp_path: Path, capsys, received: signal.Signals) -> None:
    class Interrupted(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            if int(batch["step"][0]) == 6:  # within step 7
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
    message = f"line: stopped by {received.name} after step 7; run the same command again to resume\n"
    assert capsys.readouterr().err.endswith(message)
    resumed = LineTask()
    average = weights(run(resumed, tmp_path))
    assert resumed.steps_seen == list(range(7, 20))
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
            return super().loss(model, batch) * (factor if int(batch["step"][0]) == 3 else 1)

    with pytest.raises(UserError, match=f"step 4 .*{message}") as found:
        run(Broken(), tmp_path, **EVERY_STEP)
    assert factor == 0 or str([24, 25, 26, 27, 28, 29, 30, 31]) in str(found.value)
    state = RunDirectory(tmp_path / "run").load(20)
    assert state is not None
    assert state["step"] == 3  # the last good state stays


def test_a_loss_that_does_not_fall_stops_the_run(tmp_path: Path) -> None:
    class SameBatch(LineTask):
        def batch(self, step: int) -> Batch:
            return super().batch(0)

    run(SameBatch(), tmp_path / "off", lr=1e-30, guard_steps=None)  # it can be switched off
    with pytest.raises(UserError, match="has not fallen in the 16 steps after the warm-up"):
        run(SameBatch(), tmp_path, lr=1e-30)


def test_a_guard_that_sees_a_falling_loss_is_silent() -> None:
    guard = LossGuard(20, 0, lambda _: [])
    for step in range(40):
        guard.check(step, 1 / (step + 1))


def test_the_guard_does_not_count_the_warm_up() -> None:
    """A loss that jumps at first and falls from then on."""
    guard = LossGuard(8, 10, lambda _: [])
    for step in range(40):
        guard.check(step, 0.1 if step < 10 else 1 / step)
    rising = LossGuard(8, 10, lambda _: [])
    with pytest.raises(UserError, match="8 steps after the warm-up"):
        _check_all(rising, [100.0 - step if step < 10 else float(step) for step in range(40)])


def _check_all(guard: LossGuard, losses: list[float]) -> None:
    for step, loss in enumerate(losses):
        guard.check(step, loss)


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


def test_a_bad_step_is_named_though_it_is_looked_at_later(tmp_path: Path) -> None:
    class Broken(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            return super().loss(model, batch) * (float("nan") if int(batch["step"][0]) == 6 else 1)

    broken = Broken()
    with pytest.raises(UserError, match="the loss at step 7 is nan"):
        run(broken, tmp_path, guard_steps=None)
    assert broken.steps_seen[-1] == 9  # every five steps
    assert RunDirectory(tmp_path / "run").load(20) is None


def test_curves_and_metrics_are_means_of_the_steps_since_the_last_point(tmp_path: Path) -> None:
    seen: list[float] = []

    class Noted(LineTask):
        def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
            loss = super().loss(model, batch)
            seen.append(loss.item())
            return loss

    run(Noted(), tmp_path)
    rows = json.loads((tmp_path / "live/train.json").read_text())
    logged = [(row["step"], row["loss"]) for row in rows]
    assert logged == [(done, pytest.approx(sum(seen[done - 5 : done]) / 5)) for done in (5, 10, 15, 20)]
    assert json.loads((tmp_path / "live/metrics.json").read_text())["loss"] == logged[-1][1]


def test_out_of_memory_in_the_optimizers_step_is_survived(tmp_path: Path, monkeypatch, capsys) -> None:
    whole = weights(run(LineTask(), tmp_path / "whole", accumulation=2))
    step, failures = torch.optim.AdamW.step, [torch.OutOfMemoryError()]

    def fails_once(self: torch.optim.AdamW, *args: Any) -> Any:
        if failures:
            raise failures.pop()
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", fails_once)
    survived = weights(run(LineTask(), tmp_path / "survived"))
    assert not failures
    assert "out of memory at step 1; continues with 2 micro-batches a step" in capsys.readouterr().out
    assert same(survived, whole)


def test_the_optimizers_memory_is_taken_before_the_first_step() -> None:
    model = nn.Linear(4, 1)
    training = TRAINING.model_copy(update={"beta1": 0.5})
    optimizer = adamw(model, training, {})
    assert all(optimizer.state[parameter]["exp_avg"].shape == parameter.shape for parameter in model.parameters())
    reference = nn.Linear(4, 1)
    reference.load_state_dict(model.state_dict())
    plain = torch.optim.AdamW(reference.parameters(), lr=training.lr, betas=(0.5, training.beta2), weight_decay=0.0)
    for network, stepped in ((model, optimizer), (reference, plain)):
        for step in range(3):
            network(torch.full((2, 4), step + 1.0)).sum().backward()
            stepped.step()
            stepped.zero_grad()
    torch.testing.assert_close(model.weight, reference.weight)


@pytest.mark.parametrize("schedule", ["cosine", "constant"])
def test_a_groups_learning_rate_is_times_the_others_in_every_step(tmp_path: Path, monkeypatch, schedule: str) -> None:
    seen: list[dict[float, float]] = []
    step = torch.optim.AdamW.step

    def noted(self: torch.optim.AdamW, *args: Any) -> Any:
        seen.append({group["lr_scale"]: group["lr"] for group in self.param_groups})
        return step(self, *args)

    monkeypatch.setattr(torch.optim.AdamW, "step", noted)
    task = LineTask()
    task.model = nn.Sequential()
    task.model.add_module("trunk", nn.Linear(4, 2))
    task.model.add_module("head", nn.Linear(2, 1))
    task.lr_scales = {"head.": 5.0}
    run(task, tmp_path, schedule=schedule)
    assert len(seen) == 20
    for number, rates in enumerate(seen):
        rate = learning_rate(number, TRAINING.lr, task.warmup_steps, 20, schedule)
        assert rates == {1.0: pytest.approx(rate), 5.0: pytest.approx(5 * rate)}


def test_the_heads_learning_rate_goes_on_after_a_resume(tmp_path: Path) -> None:
    def task(**arguments: Any) -> LineTask:
        made = LineTask(**arguments)
        made.lr_scales = {"bias": 5.0}
        return made

    whole = weights(run(task(), tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(task(fail_at=13), tmp_path / "broken", **EVERY_STEP)
    assert same(weights(run(task(), tmp_path / "broken")), whole)
    assert not same(weights(run(LineTask(), tmp_path / "plain")), whole)


class SlowDirectory(RunDirectory):
    """Writing a checkpoint takes 50 ms."""

    def save(self, step: int, checkpoint: Mapping[str, Any]) -> None:
        time.sleep(0.05)
        super().save(step, checkpoint)


def test_checkpoints_are_as_far_apart_as_their_cost_demands(tmp_path: Path) -> None:
    with Checkpoints(SlowDirectory(tmp_path), every_s=0.0, share=0.02) as kept:
        assert kept.due()
        kept.save(1, {"weight": torch.zeros(1)}, wait=True)
        assert kept.cost_s >= 0.05
        assert not kept.due()
        kept.saved_at -= kept.cost_s / 0.02
        assert kept.due()
        kept.every_s = 1e9
        assert not kept.due()


def test_a_checkpoint_is_written_from_a_copy_in_a_thread(tmp_path: Path) -> None:
    weight = torch.zeros(3)
    with Checkpoints(SlowDirectory(tmp_path), every_s=0.0, share=1e9) as kept:
        kept.save(1, {"parts": [{"weight": weight}]}, wait=False)
        weight.fill_(1)
        assert kept.saved_step is None
    assert kept.saved_step == 1
    saved = RunDirectory(tmp_path).load(1)
    assert saved is not None
    assert torch.equal(saved["parts"][0]["weight"], torch.zeros(3))


def test_a_checkpoint_that_could_not_be_written_is_an_error(tmp_path: Path, monkeypatch) -> None:
    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tinycats.runtime.run_directory.torch.save", fails)
    with pytest.raises(OSError, match="No space"), Checkpoints(RunDirectory(tmp_path), 0.0, 1.0) as kept:
        kept.save(1, {}, wait=False)


def test_the_average_is_that_of_torch_with_a_decay_that_grows() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    ours = WeightAverage(model, 0.5)

    def follow(average: torch.Tensor, weight: torch.Tensor, updates: torch.Tensor) -> torch.Tensor:
        n = int(updates)
        if not average.is_floating_point():
            return weight
        return torch.lerp(average, weight, 1 - min(0.5, n / (n + 9)))

    theirs = AveragedModel(model, avg_fn=follow, use_buffers=True)
    for step in range(15):
        for parameter in model.parameters():
            parameter.data.add_(step + torch.rand_like(parameter))
        model(torch.randn(8, 4))
        ours.update()
        theirs.update_parameters(model)
    for name, tensor in theirs.module.state_dict().items():
        if tensor.is_floating_point():  # torch averages the counter of batches, too
            torch.testing.assert_close(ours.module.state_dict()[name], tensor)
    assert int(ours.module[1].num_batches_tracked) == 15  # type: ignore[union-attr]


def test_the_device_is_waited_for_where_losses_are_looked_at_and_nowhere_else(tmp_path: Path, monkeypatch) -> None:
    """Reading a value from a tensor is what waits for a GPU: once for the losses and once for the norms, every five steps."""
    waited: list[str] = []
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        read = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda self, *rest, name=name, read=read: waited.append(name) or read(self, *rest)
        )
    run(LineTask(), tmp_path, steps=40, guard_steps=None)
    assert waited == ["tolist"] * 2 * 8
