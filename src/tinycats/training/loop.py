"""The training loop that the classifier, the evaluator and the generator share.

What is trained is a Task: it makes the whole batch of a step as a pure function of the step, and turns a part of it into a
loss. The loop owns precision, accumulation, clipping, the learning rate, the average of the weights, saving and continuing, and
what several processes share. Every process makes the whole batch and takes its part of it.
"""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from tinycats.devices import Precision, autocast, resolve_dtype
from tinycats.errors import UserError
from tinycats.memory import keep_freed_memory
from tinycats.training import distributed
from tinycats.training.guard import LossGuard
from tinycats.training.history import History
from tinycats.training.progress import ProgressReport
from tinycats.training.run_directory import RunDirectory

SMOKE_STEPS = 10

Batch = dict[str, Tensor]
Schedule = Literal["constant", "cosine"]


@dataclass(frozen=True)
class LoopSettings:
    """`batch_size` pictures make one optimizer step, in `accumulation` micro-batches."""

    steps: int
    batch_size: int
    accumulation: int
    lr: float
    warmup_steps: int
    schedule: Schedule
    beta2: float  # of AdamW's running mean of squares
    weight_decay: float
    clip_norm: float
    ema_decay: float | None  # None: no average is kept
    guard_steps: int
    precision: Precision
    compile: bool
    log_every: int
    checkpoint_every_s: float
    smoke: bool  # SMOKE_STEPS to see that everything works: nothing is evaluated, and the loss need not fall


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Task(Stateful, Protocol):
    """What is trained. Random numbers for a step come from the step alone."""

    name: str
    error: float | None  # of the last validation, the less the better; None before the first

    @property
    def model(self) -> nn.Module:
        """The network to train."""

    def batch(self, step: int) -> Batch:
        """The whole batch of a step, on the CPU; every tensor's first dimension is the batch; "indices" name the pictures."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a micro-batch, a scalar."""

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        """Called when `done` steps are done, with the averaged model. Returns True to stop early."""


def learning_rate(step: int, lr: float, warmup_steps: int, steps: int, schedule: Schedule) -> float:
    """Linear warm-up to `lr`, then constant or a half cosine down to 0 at `steps`."""
    if step < warmup_steps:
        return lr * (step + 1) / warmup_steps
    if schedule == "constant":
        return lr
    progress = (step - warmup_steps) / max(steps - warmup_steps, 1)
    return lr * (1 + math.cos(math.pi * progress)) / 2


def train(task: Task, settings: LoopSettings, device: torch.device, run: RunDirectory, history: History) -> nn.Module:
    """Train task.model, continuing from the state in `run` where there is one; return the averaged model, or the model itself.

    Raises UserError where the loss shows that nothing is learned; SystemExit after SIGINT, SIGTERM or SIGHUP, the state saved.
    """
    if settings.batch_size < distributed.world_size():
        raise UserError(
            f"a batch of {settings.batch_size} cannot be shared by {distributed.world_size()} processes: lower compute.processes"
        )
    keep_freed_memory()
    model = distributed.synchronise_norms(task.model.to(device), device)
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]  # biases and norms are not decayed
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=settings.lr, betas=(0.9, settings.beta2), fused=True)
    average: AveragedModel | None = None
    if settings.ema_decay is not None:
        average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay), use_buffers=True)
    averaged: nn.Module = model if average is None else average.module
    dtype = resolve_dtype(settings.precision, device)
    scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
    forward: nn.Module = torch.compile(model) if settings.compile else model  # type: ignore[assignment]
    forward = distributed.wrap(forward, device)
    guard = LossGuard(0 if settings.smoke else settings.guard_steps)
    stateful: dict[str, Stateful] = {"model": model, "optimizer": optimizer, "scaler": scaler, "task": task}
    if average is not None:
        stateful["average"] = average

    start, stopped_early, accumulation = 0, False, settings.accumulation
    state = run.load_state(settings.steps)
    if state is not None:
        for name, part in stateful.items():
            part.load_state_dict(state[name])
        start, stopped_early, guard.losses = state["step"], state["stopped_early"], state["guard"]
        history.restore(state["history"])
        if distributed.is_main():
            print(f"{task.name}: continues from step {start} ({run.path})", flush=True)
    if stopped_early or start == settings.steps:
        return averaged

    def save(done: int) -> None:
        parts = {name: part.state_dict() for name, part in stateful.items()}
        extra = {"stopped_early": stopped_early, "guard": guard.losses, "history": history.state()}
        run.save_state(done, {**extra, **parts}, task.error)

    report = ProgressReport(task.name, settings.steps, start, settings.batch_size, settings.log_every, run.path)
    saved_at = time.monotonic()
    model.train()
    with report, _deferred_signals() as received, _batches(task, start, settings.steps, device) as batches:
        for step, batch in enumerate(batches, start):
            rate = learning_rate(step, settings.lr, settings.warmup_steps, settings.steps, settings.schedule)
            for group in optimizer.param_groups:
                group["lr"] = rate
            while True:
                try:
                    loss = _accumulate(task, forward, batch, accumulation, scaler, device, dtype)
                    break
                except torch.OutOfMemoryError:
                    if accumulation * 2 > len(batch["indices"]) or distributed.world_size() > 1:
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
                history.log(done, {"loss": loss, "lr": rate, "grad_norm": norm})
            if not settings.smoke:
                stopped_early = bool(distributed.largest(task.after_step(done, averaged, history), device))
                model.train()
            report.step(done, loss)
            signal_number = distributed.largest(received[0] if received else 0, device)
            finished = stopped_early or done == settings.steps
            due = time.monotonic() - saved_at >= settings.checkpoint_every_s
            if distributed.is_main() and (finished or signal_number or due):
                save(done)
                report.saved_step = done
                saved_at = time.monotonic()
            if finished:
                break
            if signal_number:
                report.stop(signal.Signals(signal_number))
    return averaged


@contextmanager
def _batches(task: Task, start: int, stop: int, device: torch.device) -> Iterator[Iterator[Batch]]:
    """The batches of the steps from `start` to `stop`, on the device.

    With a GPU, a thread makes the next one while the GPU works; on a CPU it would only take turns with the training.
    """

    if device.type == "cpu":
        yield map(task.batch, range(start, stop))
        return

    def on_device(step: int) -> Batch:
        return {name: tensor.pin_memory().to(device, non_blocking=True) for name, tensor in task.batch(step).items()}

    with ThreadPoolExecutor(1) as pool:

        def ahead() -> Iterator[Batch]:
            coming = pool.submit(on_device, start)
            for step in range(start, stop):
                batch = coming.result()
                if step + 1 < stop:
                    coming = pool.submit(on_device, step + 1)
                yield batch

        yield ahead()


def _accumulate(
    task: Task,
    model: nn.Module,
    batch: Batch,
    parts: int,
    scaler: torch.amp.GradScaler,
    device: torch.device,
    dtype: torch.dtype,
) -> float:
    """Add up the gradients of this process's micro-batches; return the mean loss of the whole batch of all processes."""
    size, world = len(batch["indices"]), distributed.world_size()
    mine = torch.arange(size).tensor_split(world)[distributed.rank()]
    chunks = mine.chunk(parts)
    mean = 0.0
    for number, chunk in enumerate(chunks, 1):
        part = {name: tensor[chunk[0] : chunk[-1] + 1] for name, tensor in batch.items()}
        more = isinstance(model, DistributedDataParallel) and number < len(chunks)
        with model.no_sync() if more else nullcontext():  # type: ignore[operator]  # gradients are averaged once, at the end
            with autocast(device, dtype):
                loss = task.loss(model, part) * (len(chunk) / size)
            scaler.scale(loss * world).backward()  # they are averaged, and must be added up
        mean += loss.item()
    return distributed.total(mean, device)


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
