"""What the tasks that train on images have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tinycats.data.batches import batch_indices
from tinycats.data.feed import Images, feed
from tinycats.data.processed import Split
from tinycats.learning.interface import Batch
from tinycats.runtime.params import TrainingParams


@dataclass
class ImageTask(ABC):
    """A task of the loop (learning/loop.py) whose batches are made of the images of `train`, shuffled anew in each epoch."""

    name: str
    model: nn.Module
    train: Split
    seed: int
    mirror: bool  # whether a mirrored image is still of its class
    training: TrainingParams
    device: torch.device
    dtype: torch.dtype  # of autocast, in validation

    @property
    @abstractmethod
    def steps(self) -> int: ...

    @property
    def lr_scales(self) -> Mapping[str, float]:
        """Times the learning rate, for the parameters whose names begin so."""
        return {}

    @abstractmethod
    def batch(self, step: int, rows: range, images: Images) -> Batch:
        """These rows of the batch of a step, as loss() takes them."""

    @abstractmethod
    def loss(self, model: nn.Module, batch: Batch) -> Tensor: ...

    def indices(self, step: int) -> list[int]:
        return batch_indices(self.seed, step, self.training.batch_size, len(self.train.labels)).tolist()

    def batches(self, start: int, rows: range) -> Iterator[Batch]:
        images = feed(self.train, self.seed, self.training.batch_size, rows, start, self.steps, self.device)
        for step, found in enumerate(images, start):
            yield self.batch(step, rows, found)

    def summary(self) -> dict[str, float]:
        return {"n_train": len(self.train.labels)}

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """There is nothing: a step's batch follows from the step."""
