"""Distilling the generator: a student that takes the guided teacher's way from noise to data in a few long steps.

The student's x(z, t, h) stands for the mean velocity u = (x - z) / (1 - t) over the step from t to t + h. Steps have the lengths
1, 1/2, 1/4 ... down to the shortest; on the shortest the target is where a few guided Euler steps of the teacher lead, on every
other where two steps of half the length of the student itself lead (self-consistency, as in the shortcut models of Frans et al.
2024: no derivative with respect to time). Guidance is in the targets, so the student needs one evaluation a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinycats.data.augment import augment
from tinycats.data.feed import Images
from tinycats.data.pixels import to_float
from tinycats.data.randomness import RowRandom
from tinycats.generator.network import TinyDiT, null_classes, one_hot_classes
from tinycats.generator.sampler import student_sampler
from tinycats.generator.task import as_grid, sample_classes
from tinycats.learning.loop import Batch
from tinycats.learning.task import ImageTask
from tinycats.runtime.history import History
from tinycats.runtime.params import DistillParams, SamplerSettings

VALIDATION_STEPS = (1, 2, 4)
REFERENCE_STEPS = 16  # of the teacher, for the images that the student's are compared with
GRID_STEPS = 4

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, t, h) -> mean velocity from t to t + h


def row_levels(first: int, rows: int, levels: int, teacher_share: float) -> Tensor:
    """The levels of `rows` images of the run, from number `first` on: int64 (rows,) on the CPU, the highest first.

    The step of a level has the length 2 ** -level. A share `teacher_share` has the shortest step, level `levels`; the others
    have each other level equally often. They are dealt out in turn: every process has as much to do.
    """
    found = []
    for number in range(first, first + rows):
        before = int(number * teacher_share + 0.5)  # images of the shortest step
        shortest = int((number + 1) * teacher_share + 0.5) > before
        found.append(levels if shortest else (number - before) % levels)
    return torch.tensor(sorted(found, reverse=True))


def sample_starts(h: Tensor, random: RowRandom) -> Tensor:
    """Starts t of steps of the lengths h = 2 ** -level, float32 (N,): multiples of h below 1."""
    return (random.uniform() / h).floor() * h


def follow(velocity: Velocity, z: Tensor, t: Tensor, h: Tensor, steps: int) -> Tensor:
    """The mean velocity over [t, t + h] of `steps` Euler steps from z (N, 3, H, W); t and h (N,)."""
    part, state = h / steps, z
    for i in range(steps):
        state = state + _columns(part) * velocity(state, t + i * part, part)
    return (state - z) / _columns(h)


def guided_velocity(model: nn.Module, class_weights: Tensor, settings: SamplerSettings) -> Velocity:
    """The teacher's velocity with guidance, each row by its own t."""
    both_weights = torch.cat([class_weights, null_classes(class_weights)])

    def velocity(z: Tensor, t: Tensor, _: Tensor) -> Tensor:
        times = torch.cat([t, t])
        x_class, x_null = model(torch.cat([z, z]), times, torch.zeros_like(times), both_weights).chunk(2)
        guided = (settings.guidance_low <= t) & (t < settings.guidance_high)
        w = torch.where(guided, settings.guidance, 1.0)
        return (x_null + _columns(w) * (x_class - x_null) - z) / _columns(1 - t)

    return velocity


def mean_velocity(model: nn.Module, class_weights: Tensor) -> Velocity:
    """The student's velocity: that of one step."""
    return lambda z, t, h: (model(z, t, h, class_weights) - z) / _columns(1 - t)


@dataclass
class DistillationTask(ImageTask):
    """`model` is the student, a copy of the `teacher` at first; of `guidance` all but the steps counts."""

    model: TinyDiT
    training: DistillParams
    teacher: TinyDiT
    guidance: SamplerSettings
    sample_every: int | None

    @property
    def steps(self) -> int:
        return self.training.steps

    @property
    def warmup_steps(self) -> int:
        return self.training.warmup_steps

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        """ "level" is on the CPU, where its rows can be counted without waiting for the device."""
        training = self.training
        random = RowRandom(self.seed, "distillation", step, training.batch_size, rows, self.device)
        x = 2 * augment(to_float(images.pixels), training.augmentation, random, self.mirror) - 1
        first = step * training.batch_size + rows.start
        level = row_levels(first, len(rows), training.levels, training.teacher_share)
        h = (0.5**level).to(self.device, non_blocking=True)
        t = sample_starts(h, random)
        mix = _columns(t)
        return {
            "z": mix * x + (1 - mix) * random.noise(*x.shape[1:]),
            "t": t,
            "h": h,
            "level": level,
            "class_weights": one_hot_classes(images.labels, self.model.config.num_classes),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        z, t, h, class_weights = (batch[name] for name in ("z", "t", "h", "class_weights"))
        shortest = int((batch["level"] == self.training.levels).sum())  # the first rows
        first, rest = slice(shortest), slice(shortest, None)
        student = model.module if isinstance(model, DistributedDataParallel) else model
        targets = []
        with torch.no_grad():
            if shortest:
                velocity = guided_velocity(self._teacher, class_weights[first], self.guidance)
                targets.append(follow(velocity, z[first], t[first], h[first], self.training.teacher_steps))
            if shortest < len(z):
                velocity = mean_velocity(student, class_weights[rest])
                targets.append(follow(velocity, z[rest], t[rest], h[rest], 2))
        return (mean_velocity(model, class_weights)(z, t, h) - torch.cat(targets)).square().mean()

    @cached_property
    def _teacher(self) -> nn.Module:
        teacher: nn.Module = torch.compile(self.teacher) if self.training.compile else self.teacher  # type: ignore[assignment]
        return teacher

    def validates(self, done: int) -> bool:
        return done == self.steps or (self.sample_every is not None and done % self.sample_every == 0)

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        assert isinstance(averaged, TinyDiT)
        made = {steps: self._images(averaged, student_sampler(steps)) for steps in {*VALIDATION_STEPS, GRID_STEPS}}
        errors = {
            f"val_mse_{steps}": float((made[steps] - self._reference).square().mean()) for steps in VALIDATION_STEPS
        }
        history.log(done, errors)  # in [-1, 1], from fixed noise, against the guided teacher's in REFERENCE_STEPS steps
        history.log_image(done, f"samples_{done:07d}.png", as_grid(made[GRID_STEPS]))
        return False

    @cached_property
    def _reference(self) -> Tensor:
        return self._images(self.teacher, self.guidance.model_copy(update={"steps": REFERENCE_STEPS}))

    def _images(self, model: TinyDiT, settings: SamplerSettings) -> Tensor:
        return sample_classes(model, settings, self.device, self.dtype)


def _columns(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)"""
    return values[:, None, None, None]
