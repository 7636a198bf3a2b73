"""Images as tensors: uint8 (N, H, W, 3) at rest, float (N, 3, H, W) in networks."""

from __future__ import annotations

import mmap

import numpy as np
import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def columns(values: Tensor) -> Tensor:
    """(N,) -> (N, 1, 1, 1), to go with (N, C, H, W)."""
    return values[:, None, None, None]


def as_tensor(images: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3], memory-mapped perhaps, as a tensor of its own."""
    return torch.from_numpy(read_rows(images, slice(None)))


def read_rows(images: np.ndarray, rows: np.ndarray | slice) -> np.ndarray:
    """A copy of these rows of an array. Of a memory-mapped one nothing stays in this process's memory, however much is read."""
    copy = np.array(images[rows])
    base: object = images
    while isinstance(base, np.ndarray):
        base = base.base
    if isinstance(base, mmap.mmap) and not images.flags.writeable and hasattr(base, "madvise"):
        base.madvise(mmap.MADV_DONTNEED)  # the pages stay in the system's cache for as long as it has room
    return copy
