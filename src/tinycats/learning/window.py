"""Losses and gradient norms of the last steps, which stay on the device until somebody looks."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tinycats.learning.distributed import total
from tinycats.runtime.guard import LossGuard


class Window:
    """`values`: (loss, norm) of each step since the last means(). `scaled`: norms may be infinite, a scaler skips such steps."""

    def __init__(self, guard: LossGuard, scaled: bool) -> None:
        self.guard, self.scaled = guard, scaled
        self.values: list[tuple[float, float]] = []
        self.last_loss = math.nan
        self._unseen: list[tuple[int, Tensor, Tensor]] = []

    def add(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Note a step's share of the loss and its gradient norm, both scalars on the device."""
        self._unseen.append((step, loss, norm))

    def look(self) -> None:
        """Wait for the device and check every step since the last look. Raises UserError naming the first bad one."""
        if not self._unseen:
            return
        steps, losses, norms = zip(*self._unseen, strict=True)
        self._unseen = []
        sums, found = total(torch.stack(losses)).tolist(), torch.stack(norms).tolist()
        for step, loss, norm in zip(steps, sums, found, strict=True):
            self.guard.check(step, loss)
            if not self.scaled:
                self.guard.check_norm(step, norm)
            self.values.append((loss, norm))
        self.last_loss = self.values[-1][0]

    def means(self) -> dict[str, float]:
        """Mean loss and gradient norm of the steps since the last call."""
        losses, norms = zip(*self.values, strict=True)
        self.values = []
        finite = [norm for norm in norms if math.isfinite(norm)]
        means = {"loss": sum(losses) / len(losses)}
        return means | ({"grad_norm": sum(finite) / len(finite)} if finite else {})
