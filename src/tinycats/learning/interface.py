"""What the training loop asks of what it trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from tinycats.runtime.history import History

Batch = dict[str, Tensor]


class Stateful(Protocol):
    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Task(Stateful, Protocol):
    """What is trained. Random numbers for a step come from the step alone."""

    name: str
    dtype: torch.dtype  # of autocast, in validation

    @property
    def steps(self) -> int: ...

    @property
    def warmup_steps(self) -> int: ...

    @property
    def model(self) -> nn.Module:
        """The network to train."""

    def batches(self, start: int, rows: range) -> Iterator[Batch]:
        """These rows of the batches of the steps from `start` to `steps`; the first dimension of every tensor is the row."""

    @property
    def lr_scales(self) -> Mapping[str, float]:
        """Times the learning rate, for the parameters whose names begin so."""

    def indices(self, step: int) -> list[int]:
        """Which images the batch of a step is made of."""

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """The mean loss of a micro-batch, a scalar."""

    def validates(self, done: int) -> bool:
        """Whether validate() is to be called when `done` steps are done."""

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        """Validate the averaged model. Returns True to stop early."""

    def summary(self) -> dict[str, float]:
        """Figures of the whole run, for metrics.json."""
