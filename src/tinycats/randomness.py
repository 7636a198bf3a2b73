"""Randomness as a pure function of (seed, stream, index): resuming needs an integer and no generator state."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, stream: str, index: int) -> int:
    """A 63-bit seed that is unrelated for every other (seed, stream, index)."""
    digest = hashlib.blake2b(f"{seed}/{stream}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator_for(seed: int, stream: str, index: int) -> torch.Generator:
    """A CPU generator for one use."""
    return torch.Generator().manual_seed(derive_seed(seed, stream, index))
