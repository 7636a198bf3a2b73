"""The training loop that the classifier, the generator and its student share.

What is trained is a Task: it makes the batch of a step as a pure function of the step, and turns a part of it into a loss. The
loop owns precision, accumulation, clipping, the learning rate, the average of the weights, checkpoints, and what several
processes share. A GPU is waited for where the losses are looked at, every few steps, and nowhere else.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from torch import nn

from tinycats.learning import distributed
from tinycats.learning.average import WeightAverage
from tinycats.learning.gradients import GradientStep
from tinycats.learning.interface import Stateful, Task
from tinycats.learning.optimizer import adamw
from tinycats.learning.precision import DTYPES, NAMES, resolve_dtype
from tinycats.learning.window import Window
from tinycats.runtime.checkpoints import Checkpoints
from tinycats.runtime.guard import LossGuard
from tinycats.runtime.history import History
from tinycats.runtime.memory import keep_freed_memory
from tinycats.runtime.params import Schedule, TrainingParams
from tinycats.runtime.processes import is_main
from tinycats.runtime.progress import ProgressReport
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.run_settings import RunSettings


def learning_rate(step: int, lr: float, warmup_steps: int, steps: int, schedule: Schedule) -> float:
    """Linear warm-up to `lr`, then constant or a half cosine down to 0 at `steps`."""
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    if schedule == "constant":
        return lr
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return lr * (1 + math.cos(math.pi * progress)) / 2


def train(
    task: Task,
    training: TrainingParams,
    run: RunSettings,
    device: torch.device,
    directory: RunDirectory,
    history: History,
) -> nn.Module:
    """Train task.model, from the newest checkpoint in `directory` on; return the averaged model, or the model itself.

    Raises UserError where the loss shows that nothing is learned; SystemExit after SIGINT, SIGTERM or SIGHUP, with a checkpoint.
    """
    rows = distributed.rows_of_batch(training.batch_size)
    keep_freed_memory()
    model = distributed.synchronise_norms(task.model.to(device), device)
    optimizer = adamw(model, training, task.lr_scales)
    average = None if training.ema_decay is None else WeightAverage(model, training.ema_decay)
    averaged: nn.Module = model if average is None else average.module
    checkpoint = directory.load(task.steps)
    # A run ends in the precision that it began in, also where another machine resumes it
    dtype = resolve_dtype(training.precision, device) if checkpoint is None else DTYPES[checkpoint["precision"]]
    task.dtype, history.summary["precision"] = dtype, NAMES[dtype]
    forward: nn.Module = torch.compile(model) if training.compile else model  # type: ignore[assignment]
    gradient_step = GradientStep(task, distributed.wrap(forward, device), optimizer, training, device, dtype)
    guard = LossGuard(run.guard_steps, task.warmup_steps, task.indices)
    window = Window(guard, scaled=gradient_step.scaler.is_enabled())
    stateful: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "scaler": gradient_step, "task": task}
    if average is not None:
        stateful["average"] = average

    start, stopped_early = 0, False
    if checkpoint is not None:
        for name, part in stateful.items():
            part.load_state_dict(checkpoint[name])
        start, stopped_early = checkpoint["step"], checkpoint["stopped_early"]
        guard.losses, window.values = checkpoint["guard"], checkpoint["window"]
        history.restore(checkpoint["history"])
        if is_main():
            print(f"{task.name}: resumes from step {start} ({directory.path})", flush=True)
    if stopped_early or start == task.steps:
        return averaged

    def content() -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in stateful.items()}
        noted = {
            "precision": NAMES[dtype],
            "stopped_early": stopped_early,
            "guard": guard.losses,
            "window": window.values,
            "history": history.state(),
        }
        return {**noted, **parts}

    report = ProgressReport(
        task.name, task.steps, start, training.batch_size, run.every_steps, directory.path, NAMES[dtype]
    )
    checkpoints = Checkpoints(directory, run.checkpoint_every_s, run.checkpoint_share)
    model.train()
    with report, checkpoints, _deferred_signals() as received:
        for step, batch in enumerate(task.batches(start, rows), start):
            rate = learning_rate(step, training.lr, task.warmup_steps, task.steps, training.schedule)
            loss, norm = gradient_step(step, batch, rate)
            if average is not None:
                average.update()
            window.add(step, loss, norm)

            done = step + 1
            validates = task.validates(done)
            if done % run.every_steps == 0 or done == task.steps or validates:
                window.look()
            if done % run.every_steps == 0 or done == task.steps:
                history.log(done, {**window.means(), "lr": rate})
            if validates:
                stopped_early = task.validate(done, averaged, history)
                model.train()
            report.step(done, window.last_loss)
            stop, signal_number, due = distributed.largest(
                stopped_early, received[0] if received else 0, is_main() and checkpoints.due()
            )
            stopped_early = bool(stop)
            finished = stopped_early or done == task.steps
            if finished or signal_number or due:
                window.look()
                if is_main():
                    checkpoints.save(done, content(), wait=bool(finished or signal_number))
            report.saved_step = checkpoints.saved_step or report.saved_step
            if finished:
                break
            if signal_number:
                report.stop(signal.Signals(signal_number))
    return averaged


@contextmanager
def _deferred_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying from them, so that the step under way can end.

    What is ignored stays ignored: nohup starts a command so, and a shell what it puts into the background.
    """
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))

    previous = {
        number: signal.signal(number, note)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
