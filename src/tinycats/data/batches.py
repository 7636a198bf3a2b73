"""Which images a step sees: a pure function of (seed, step), so that resuming needs nothing but the step."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from tinycats.data.randomness import generator_for


@lru_cache(maxsize=2)
def _order(seed: int, epoch: int, count: int) -> Tensor:
    return torch.randperm(count, generator=generator_for(seed, "order", epoch))


def batch_indices(seed: int, step: int, batch_size: int, count: int) -> Tensor:
    """Indices, int64 (batch_size,), of step `step` in an endless stream of shuffled epochs of `count` images."""
    positions = range(step * batch_size, (step + 1) * batch_size)
    return torch.stack([_order(seed, position // count, count)[position % count] for position in positions])
