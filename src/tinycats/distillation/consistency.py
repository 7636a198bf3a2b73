"""The student takes the guided teacher's way from noise to data in a few long steps.

On the shortest step its target is where a few guided Euler steps of the teacher lead, on every other where two steps of half the
length of the student itself lead (self-consistency, as in the shortcut models of Frans et al. 2024: no derivative with respect
to time). Guidance is in the targets, so the student needs one evaluation a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinycats.data.augment import augment
from tinycats.data.feed import Images
from tinycats.data.pixels import columns, to_float
from tinycats.data.randomness import RowRandom
from tinycats.distillation.task import StudentTask, mean_velocity
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.learning.interface import Batch


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


@dataclass
class ConsistencyTask(StudentTask):
    """`model` is the student."""

    model: TinyDiT

    def student(self, trained: nn.Module) -> TinyDiT:
        assert isinstance(trained, TinyDiT)
        return trained

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        """ "level" is on the CPU, where its rows can be counted without waiting for the device."""
        training = self.training
        random = RowRandom(self.seed, "distillation", step, training.batch_size, rows, self.device)
        x = 2 * augment(to_float(images.pixels), training.augmentation, random, self.mirror) - 1
        first = step * training.batch_size + rows.start
        level = row_levels(first, len(rows), training.levels, training.teacher_share)
        h = (0.5**level).to(self.device, non_blocking=True)
        t = sample_starts(h, random)
        mix = columns(t)
        return {
            "z": mix * x + (1 - mix) * random.noise(*x.shape[1:]),
            "t": t,
            "h": h,
            "level": level,
            "class_weights": one_hot_classes(images.labels, self.model.config.num_classes),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        student = model.module if isinstance(model, DistributedDataParallel) else model
        targets, velocity = self.targets(student, batch), mean_velocity(model, batch["class_weights"])
        return (velocity(batch["z"], batch["t"], batch["h"]) - targets).square().mean()
