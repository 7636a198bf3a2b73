"""Stops a training run that learns nothing: the silent failures of generators are loud here."""

from __future__ import annotations

import math
from collections.abc import Callable

from tinycats.runtime.errors import UserError


class LossGuard:
    """Watches the loss of every step.

    A loss that is not finite, or exactly 0, stops the run. In the first `guard_steps` steps after `warmup_steps`, the mean of the
    last quarter must lie below that of the first quarter; None switches that off. `indices` names the images of a step.
    """

    def __init__(self, guard_steps: int | None, warmup_steps: int, indices: Callable[[int], list[int]]) -> None:
        self.guard_steps, self.warmup_steps, self.indices = guard_steps or 0, warmup_steps, indices
        self.losses: list[float] = []  # of the first guard_steps steps after the warm-up

    def check(self, step: int, loss: float) -> None:
        """Raise UserError where the run must not go on. `step` counts from 0; every step is checked, in order."""
        if not math.isfinite(loss):
            raise UserError(
                f"the loss at step {step + 1} is {loss}: lower the learning rate; images of the batch: {self.indices(step)}"
            )
        if loss == 0:
            raise UserError(
                f"the loss at step {step + 1} is exactly 0: nothing can be learned so; check the images and the labels"
            )
        watched = step - self.warmup_steps
        if not 0 <= watched < self.guard_steps:
            return
        self.losses.append(loss)
        if watched + 1 == self.guard_steps and self.guard_steps >= 8:
            quarter = self.guard_steps // 4
            first, last = (sum(part) / quarter for part in (self.losses[:quarter], self.losses[-quarter:]))
            if last >= first:
                raise UserError(
                    f"the loss has not fallen in the {self.guard_steps} steps after the warm-up (mean {first:.4g} in the first "
                    f"quarter, {last:.4g} in the last): check the learning rate and the data"
                )

    def check_norm(self, step: int, norm: float) -> None:
        """Raise UserError where the gradient's norm is not finite: clipping would turn it into a step of zero or NaN."""
        if not math.isfinite(norm):
            raise UserError(f"the gradient at step {step + 1} is not finite (norm {norm}): lower the learning rate")
