"""The training loop that the classifier, the evaluator and the generator share.

What is trained is a Task: it makes the whole batch of a step as a pure function of the step, and turns a part of it into a
loss. The loop owns precision, accumulation, clipping, the learning rate, the average of the weights, saving and continuing.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinycats.devices import Precision, autocast, resolve_dtype
from tinycats.training.guard import LossGuard
from tinycats.training.history import History
from tinycats.training.progress import ProgressReport
from tinycats.training.run_directory import RunDirectory

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class LoopSettings:
    """`batch_size` pictures make one optimizer step, in `accumulation` micro-batches."""

    steps: int
    batch_size: int
    accumulation: int
    lr: float
    warmup_steps: int
    schedule: Literal["constant", "cosine"]
    weight_decay: float
    clip_norm: float
    ema_decay: float | None  # None: no average is kept
    guard_steps: int
    precision: Precision
    compile: bool
    log_every: int
    checkpoint_every_s: float


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Task(Stateful, Protocol):
    """What is trained. Random numbers for a step come from the step alone."""

    name: str

    @property
    def model(self) -> nn.Module:
        """The network to train."""

    def batch(self, step: int) -> Batch:
        """The whole batch of a step, on the CPU; every tensor's first dimension is the batch; "indices" name the pictures."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a micro-batch, a scalar."""

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        """Called when `done` steps are done, with the averaged model. Returns True to stop early."""


def learning_rate(step: int, settings: LoopSettings) -> float:
    """Linear warm-up, then constant or a half cosine down to 0 at settings.steps."""
    if step < settings.warmup_steps:
        return settings.lr * (step + 1) / settings.warmup_steps
    if settings.schedule == "constant":
        return settings.lr
    progress = (step - settings.warmup_steps) / max(settings.steps - settings.warmup_steps, 1)
    return settings.lr * (1 + math.cos(math.pi * progress)) / 2


def train(task: Task, settings: LoopSettings, device: torch.device, run: RunDirectory, history: History) -> nn.Module:
    """Train task.model, continuing from the state in `run` where there is one; return the averaged model, or the model itself.

    Raises UserError where the loss shows that nothing is learned; SystemExit after SIGINT, SIGTERM or SIGHUP, the state saved.
    """
    model = task.model.to(device)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]  # biases and norms are not decayed
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, 0.95), fused=True)
    average: AveragedModel | None = None
    if settings.ema_decay is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)
    averaged: nn.Module = model if average is None else average.module
    dtype = resolve_dtype(settings.precision, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    forward: nn.Module = torch.compile(model) if settings.compile else model  # type: ignore[assignment]
    guard = LossGuard(settings.guard_steps)
    stateful: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "scaler": scaler, "task": task}
    if average is not None:
        stateful["average"] = average

    start, stopped_early, accumulation = 0, False, settings.accumulation
    state = run.load_state()
    if state is not None and state["step"] <= settings.steps:
        for name, part in stateful.items():
            part.load_state_dict(state[name])
        start, stopped_early, guard.losses = state["step"], state["stopped_early"], state["guard"]
        history.restore(state["history"])
        print(f"{task.name}: continues from step {start} ({run.path})", flush=True)
    if stopped_early or start == settings.steps:
        return averaged

    def save(done: int) -> None:
        parts = {name: part.state_dict() for name, part in stateful.items()}
        progress = {"step": done, "stopped_early": stopped_early, "guard": guard.losses, "history": history.state()}
        run.save_state({**progress, **parts})

    report = ProgressReport(task.name, settings.steps, start, settings.batch_size, settings.log_every, run)
    saved_at = time.monotonic()
    model.train()
    with _deferred_signals() as received:
        for step in range(start, settings.steps):
            batch = {name: tensor.to(device, non_blocking=True) for name, tensor in task.batch(step).items()}
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, settings)
            while True:
                try:
                    loss = _accumulate(task, forward, batch, accumulation, scaler, device, dtype)
                    break
                except torch.OutOfMemoryError:
                    if accumulation * 2 > len(batch["indices"]):
                        raise
                    accumulation *= 2
                    optimizer.zero_grad(set_to_none=True)
                    print(
                        f"{task.name}: out of memory at step {step + 1}; goes on with {accumulation} micro-batches a step"
                    )
            guard.check(step, loss, batch["indices"].tolist())
            scaler.unscale_(optimizer)
            norm = float(nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm))
            if not scaler.is_enabled():  # with a scaler, an infinite norm is its business: it skips the step
                guard.check_norm(step, norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            if average is not None:
                average.update_parameters(model)

            done = step + 1
            if done % settings.log_every == 0 or done == settings.steps:
                history.log(done, {"loss": loss, "lr": learning_rate(step, settings), "grad_norm": norm})
            stopped_early = task.after_step(done, averaged, history)
            model.train()
            report.step(done, loss)
            finished = stopped_early or done == settings.steps
            if finished or received or time.monotonic() - saved_at >= settings.checkpoint_every_s:
                save(done)
                saved_at = time.monotonic()
            if received and not finished:
                report.close()
                print(
                    f"{task.name}: stopped by {received[0].name} after step {done}; run the same command again to go on"
                )
                raise SystemExit(128 + received[0])
            if finished:
                break
    report.close()
    return averaged


def _accumulate(
    task: Task,
    model: nn.Module,
    batch: Batch,
    parts: int,
    scaler: torch.amp.GradScaler,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Add up the gradients of the micro-batches; return the mean loss of the whole batch."""
    size = len(batch["indices"])
    total = 0.0
    for chunk in torch.arange(size).chunk(parts):
        part = {name: tensor[chunk[0] : chunk[-1] + 1] for name, tensor in batch.items()}
        with autocast(device, dtype):
            loss = task.loss(model, part) * (len(chunk) / size)
        scaler.scale(loss).backward()
        total += loss.item()
    return total


@contextmanager
def _deferred_signals() -> Iterator[list[signal.Signals]]:
    """Collect SIGINT, SIGTERM and SIGHUP instead of dying from them, so that the step under way can end."""
    received: list[signal.Signals] = []

    def note(number: int, _frame: FrameType | None) -> None:
        received.append(signal.Signals(number))

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
