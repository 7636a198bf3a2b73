"""What the objectives of the student have in common: its velocity, the self-consistent targets, and how it is validated.

The student's x(z, t, h) stands for the mean velocity u = (x - z) / (1 - t) over the step from t to t + h. Steps have the lengths
1, 1/2, 1/4 ... down to the shortest. consistency.py and adversarial.py say what it learns.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from tinycats.data.pixels import columns
from tinycats.generator.network import TinyDiT, null_classes
from tinycats.generator.sampler import student_sampler
from tinycats.generator.task import GeneratorTask, as_grid, sample_classes
from tinycats.learning.interface import Batch
from tinycats.runtime.history import History
from tinycats.runtime.params import DistillParams, SamplerSettings

VALIDATION_STEPS = (1, 2, 4)
REFERENCE_STEPS = 16  # of the teacher, for the images that the student's are compared with
GRID_STEPS = 4

Velocity = Callable[[Tensor, Tensor, Tensor], Tensor]  # (z, t, h) -> mean velocity from t to t + h


def follow(velocity: Velocity, z: Tensor, t: Tensor, h: Tensor, steps: int) -> Tensor:
    """The mean velocity over [t, t + h] of `steps` Euler steps from z (N, 3, H, W); t and h (N,)."""
    part, state = h / steps, z
    for i in range(steps):
        state = state + columns(part) * velocity(state, t + i * part, part)
    return (state - z) / columns(h)


def guided_velocity(model: nn.Module, class_weights: Tensor, settings: SamplerSettings) -> Velocity:
    """The teacher's velocity with guidance, each row by its own t."""
    both_weights = torch.cat([class_weights, null_classes(class_weights)])

    def velocity(z: Tensor, t: Tensor, _: Tensor) -> Tensor:
        times = torch.cat([t, t])
        x_class, x_null = model(torch.cat([z, z]), times, torch.zeros_like(times), both_weights).chunk(2)
        guided = (settings.guidance_low <= t) & (t < settings.guidance_high)
        w = torch.where(guided, settings.guidance, 1.0)
        return (x_null + columns(w) * (x_class - x_null) - z) / columns(1 - t)

    return velocity


def mean_velocity(model: nn.Module, class_weights: Tensor) -> Velocity:
    """The student's velocity: that of one step."""
    return lambda z, t, h: (model(z, t, h, class_weights) - z) / columns(1 - t)


@torch.no_grad()
def simulate(student: nn.Module, noise: Tensor, h: Tensor, steps: Tensor, class_weights: Tensor) -> Tensor:
    """Where the student's own steps lead from noise (N, 3, H, W): `steps`, int64 (N,) on the CPU, of the lengths h (N,)."""
    z = noise.clone()
    for done in range(int(steps.max())):
        rows = (steps > done).nonzero()[:, 0].to(z.device)
        length = h[rows]
        velocity = mean_velocity(student, class_weights[rows])(z[rows], done * length, length)
        z[rows] += columns(length) * velocity
    return z


@dataclass
class StudentTask(GeneratorTask):
    """The student is a copy of the `teacher` at first; of `guidance` all but the steps counts."""

    training: DistillParams
    teacher: TinyDiT
    guidance: SamplerSettings

    @abstractmethod
    def student(self, trained: nn.Module) -> TinyDiT:
        """The student in the trained module."""

    def inspect(self, done: int, made: Mapping[int, Tensor], history: History) -> None:
        """Look at the images of a validation, by steps of the sampler. There is nothing that every objective looks for."""

    @torch.no_grad()
    def targets(self, student: nn.Module, batch: Batch) -> Tensor:
        """The mean velocities that the student should have.

        On the shortest step, that is where a few guided Euler steps of the teacher lead; on every other, where two steps of half
        the length of the student itself lead. Rows of the shortest step come first, as their "level", which is on the CPU, says.
        """
        z, t, h, class_weights = (batch[name] for name in ("z", "t", "h", "class_weights"))
        shortest = int((batch["level"] == self.training.levels).sum())
        first, rest = slice(shortest), slice(shortest, None)
        found = []
        if shortest:
            velocity = guided_velocity(self._teacher, class_weights[first], self.guidance)
            found.append(follow(velocity, z[first], t[first], h[first], self.training.teacher_steps))
        if shortest < len(z):
            velocity = mean_velocity(student, class_weights[rest])
            found.append(follow(velocity, z[rest], t[rest], h[rest], 2))
        return torch.cat(found)

    @cached_property
    def _teacher(self) -> nn.Module:
        teacher: nn.Module = torch.compile(self.teacher) if self.training.compile else self.teacher  # type: ignore[assignment]
        return teacher

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        student = self.student(averaged)
        made = {steps: self._images(student, student_sampler(steps)) for steps in {*VALIDATION_STEPS, GRID_STEPS}}
        errors = {
            f"val_mse_{steps}": float((made[steps] - self.reference).square().mean()) for steps in VALIDATION_STEPS
        }
        history.log(done, errors)  # in [-1, 1], from fixed noise, against the guided teacher's in REFERENCE_STEPS steps
        history.log_image(done, f"samples_{done:07d}.png", as_grid(made[GRID_STEPS]))
        self.inspect(done, made, history)
        return False

    @cached_property
    def reference(self) -> Tensor:
        """The teacher's images."""
        return self._images(self.teacher, self.guidance.model_copy(update={"steps": REFERENCE_STEPS}))

    def _images(self, model: TinyDiT, settings: SamplerSettings) -> Tensor:
        return sample_classes(model, settings, self.device, self.dtype)
