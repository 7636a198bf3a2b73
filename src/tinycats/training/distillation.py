"""Distilling the generator: a student that takes the guided teacher's way from noise to data in a few long steps.

The student's x(z, t, h) stands for the mean velocity u = (x - z) / (1 - t) over the step from t to t + h. Steps have the lengths
1, 1/2, 1/4 ... down to the shortest; on the shortest the target is where a few guided Euler steps of the teacher lead, on every
other where two steps of half the length of the student itself lead (self-consistency, as in the shortcut models of Frans et al.
2024: no derivative with respect to time). Guidance is in the targets, so the student needs one evaluation a step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from tinycats.data.augment import Level, augment
from tinycats.data.batches import batch_indices
from tinycats.data.processed import Split
from tinycats.models.sampler import SamplerSettings, few_step_settings
from tinycats.models.tinydit import TinyDiT, one_hot_classes
from tinycats.randomness import generator_for
from tinycats.training.flow_matching import as_grid, sample_classes
from tinycats.training.history import History
from tinycats.training.loop import Batch

VALIDATION_STEPS = (1, 2, 4)
REFERENCE_STEPS = 16  # of the teacher, for the pictures that the student's are compared with
GRID_STEPS = 4

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, t, h) -> mean velocity from t to t + h


def sample_intervals(
    count: int, levels: int, teacher_share: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Starts t and lengths h, float32 (count,) each: h = 2 ** -level, t a multiple of h below 1.

    The shortest, level `levels`, for `teacher_share` of the rows, the others as often as each other.
    """
    shortest = torch.rand(count, generator=generator) < teacher_share
    level = torch.where(shortest, levels, torch.randint(levels, (count,), generator=generator))
    h = 0.5**level
    t = (torch.rand(count, generator=generator) / h).floor() * h
    return t, h


def follow(velocity: Velocity, z: Tensor, t: Tensor, h: Tensor, steps: int) -> Tensor:
    """The mean velocity over [t, t + h] of `steps` Euler steps from z (N, 3, H, W); t and h (N,)."""
    part, state = h / steps, z
    for i in range(steps):
        state = state + _columns(part) * velocity(state, t + i * part, part)
    return (state - z) / _columns(h)


def guided_velocity(model: nn.Module, class_weights: Tensor, settings: SamplerSettings) -> Velocity:
    """The teacher's velocity with guidance, each row by its own t."""
    null = torch.zeros_like(class_weights)
    null[:, -1] = 1
    both_weights = torch.cat([class_weights, null])

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
class DistillationTask:
    """`model` is the student, a copy of the `teacher` at first; of `guidance` all but the steps counts."""

    name: str
    model: TinyDiT
    teacher: TinyDiT
    guidance: SamplerSettings
    train: Split
    seed: int
    batch_size: int
    steps: int
    levels: int
    teacher_share: float
    teacher_steps: int
    augmentation: Level
    mirror: bool
    sample_every: int
    device: torch.device
    dtype: torch.dtype
    error: float | None = None  # of the last validation

    def batch(self, step: int) -> Batch:
        indices = batch_indices(self.seed, step, self.batch_size, len(self.train.labels))
        generator = generator_for(self.seed, "distillation", step)
        pixels = torch.from_numpy(self.train.images[indices.numpy()]).permute(0, 3, 1, 2).float() / 255
        x = 2 * augment(pixels, self.augmentation, generator, self.mirror) - 1
        t, h = sample_intervals(len(x), self.levels, self.teacher_share, generator)
        mix = _columns(t)
        return {
            "indices": indices,
            "z": mix * x + (1 - mix) * torch.randn(x.shape, generator=generator),
            "t": t,
            "h": h,
            "class_weights": one_hot_classes(
                self.train.labels[indices.numpy()].tolist(), self.model.config.num_classes
            ),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        z, t, h, class_weights = (batch[name] for name in ("z", "t", "h", "class_weights"))
        target = torch.empty_like(z)
        shortest = h <= 0.5**self.levels
        with torch.no_grad():
            for rows, steps, velocity in (
                (shortest, self.teacher_steps, guided_velocity(self.teacher, class_weights[shortest], self.guidance)),
                (~shortest, 2, mean_velocity(self.model, class_weights[~shortest])),
            ):
                if rows.any():
                    target[rows] = follow(velocity, z[rows], t[rows], h[rows], steps)
        return (mean_velocity(model, class_weights)(z, t, h) - target).square().mean()

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        if done % self.sample_every == 0 or done == self.steps:
            assert isinstance(averaged, TinyDiT)
            errors = {
                f"val_mse_{steps}": self.error_of(averaged, few_step_settings(steps)) for steps in VALIDATION_STEPS
            }
            self.error = sum(errors.values()) / len(errors)
            history.log(done, errors)
            history.log_image(done, f"samples_{done:07d}.png", self.sample_grid(averaged))
        return False

    def error_of(self, model: TinyDiT, settings: SamplerSettings) -> float:
        """Mean squared error, in [-1, 1], of pictures from fixed noise against the guided teacher's in REFERENCE_STEPS steps."""
        return float((self._pictures(model, settings) - self._reference).square().mean())

    @cached_property
    def _reference(self) -> Tensor:
        return self._pictures(self.teacher, replace(self.guidance, steps=REFERENCE_STEPS))

    def _pictures(self, model: TinyDiT, settings: SamplerSettings) -> Tensor:
        return sample_classes(model, settings, self.device, self.dtype)

    def sample_grid(self, model: TinyDiT) -> Image.Image:
        return as_grid(self._pictures(model, few_step_settings(GRID_STEPS)))

    def state_dict(self) -> dict[str, Any]:
        return {"error": self.error}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.error = state["error"]


def _columns(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1)"""
    return values[:, None, None, None]
