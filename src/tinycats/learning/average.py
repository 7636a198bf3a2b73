"""The exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """A copy of `model` whose weights follow it: W = d W + (1 - d) W_model after each step.

    d = min(decay, n / (n + 9)) after n earlier steps: an average of few steps is of the later ones, as in TensorFlow's
    ExponentialMovingAverage, so that a short run does not end as it began.
    torch.optim.swa_utils.AveragedModel does the same and makes a GPU wait in every step: its counter is a tensor on the CPU.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.module = copy.deepcopy(model)
        pairs = list(zip(self._tensors(self.module), self._tensors(model), strict=True))
        self._floats = [pair for pair in pairs if pair[0].is_floating_point()]
        self._others = [pair for pair in pairs if not pair[0].is_floating_point()]  # counters of batch norms

    @staticmethod
    def _tensors(module: nn.Module) -> list[torch.Tensor]:
        return [tensor.detach() for tensor in (*module.parameters(), *module.buffers())]

    def update(self) -> None:
        """Follow the model by one step."""
        averages, weights = zip(*self._floats, strict=True)
        torch._foreach_lerp_(averages, weights, 1 - min(self.decay, self.updates / (self.updates + 9)))
        for average, value in self._others:
            average.copy_(value)
        self.updates += 1

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self.updates, "module": self.module.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.updates = state["updates"]
        self.module.load_state_dict(state["module"])
