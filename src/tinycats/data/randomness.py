"""Randomness as a pure function of (seed, stream, index): resuming needs an integer and no generator state."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

NOISE_ROWS = 16  # of a batch, whose noise comes from one generator


def derive_seed(seed: int, stream: str, index: int) -> int:
    """A 63-bit seed that is unrelated for every other (seed, stream, index)."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(seed: int, stream: str, index: int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for one use."""
    return torch.Generator(device).manual_seed(derive_seed(seed, stream, index))


class RowRandom:
    """Random numbers of the rows of a batch of `size`, on the device: a row's are the same, whoever shares the batch.

    A process that has only some of the `rows` draws the few numbers of all rows and keeps its own; noise, of which there is
    much, it draws for its own rows alone (and their neighbours in a block of NOISE_ROWS).
    """

    def __init__(self, seed: int, stream: str, step: int, size: int, rows: range, device: torch.device) -> None:
        self.size, self.rows, self.device = size, rows, device
        self._key = (seed, stream, step)
        self._generator = generator_for(seed, stream, step, device)

    def uniform(self, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Float32 (rows,) in [low, high)."""
        numbers = torch.empty(self.size, device=self.device).uniform_(low, high, generator=self._generator)
        return numbers[self.rows.start : self.rows.stop]

    def normal(self) -> Tensor:
        """Standard normal, float32 (rows,)."""
        numbers = torch.randn(self.size, device=self.device, generator=self._generator)
        return numbers[self.rows.start : self.rows.stop]

    def noise(self, *shape: int) -> Tensor:
        """Standard normal, float32 (rows, *shape)."""
        seed, stream, step = self._key
        first = self.rows.start // NOISE_ROWS
        blocks = [
            torch.randn(
                min(NOISE_ROWS, self.size - block * NOISE_ROWS),
                *shape,
                device=self.device,
                generator=generator_for(seed, f"{stream}/noise/{block}", step, self.device),
            )
            for block in range(first, -(-self.rows.stop // NOISE_ROWS))
        ]
        start = self.rows.start - first * NOISE_ROWS
        return torch.cat(blocks)[start : start + len(self.rows)]
