"""Stops a training run that learns nothing: the silent failures of generators are loud here."""

from __future__ import annotations

import math

from tinycats.errors import UserError


class LossGuard:
    """Watches the loss of every step.

    A loss that is not finite, or exactly 0, stops the run at once. At `guard_steps` steps the mean of the last quarter must lie
    below that of the first quarter.
    """

    def __init__(self, guard_steps: int) -> None:
        self.guard_steps = guard_steps
        self.losses: list[float] = []  # of the first guard_steps steps

    def check(self, step: int, loss: float, indices: list[int]) -> None:
        """Raise UserError where the run must not go on. `step` counts from 0."""
        if not math.isfinite(loss):
            raise UserError(
                f"the loss at step {step + 1} is {loss}: lower the learning rate; pictures of the batch: {indices}"
            )
        if loss == 0:
            raise UserError(f"the loss at step {step + 1} is exactly 0: nothing can be learned from such a target")
        if step >= self.guard_steps:
            return
        self.losses.append(loss)
        if step + 1 == self.guard_steps and self.guard_steps >= 8:
            quarter = self.guard_steps // 4
            first, last = (sum(part) / quarter for part in (self.losses[:quarter], self.losses[-quarter:]))
            if last >= first:
                raise UserError(
                    f"the loss has not fallen in the first {self.guard_steps} steps (mean {first:.4g} in the first quarter, "
                    f"{last:.4g} in the last): check the learning rate and the data"
                )

    def check_norm(self, step: int, norm: float) -> None:
        """Raise UserError where the gradient's norm is not finite: clipping would turn it into a step of zero or NaN."""
        if not math.isfinite(norm):
            raise UserError(f"the gradient at step {step + 1} is not finite (norm {norm}): lower the learning rate")
