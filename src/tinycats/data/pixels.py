"""Images as tensors: uint8 (N, H, W, 3) at rest, float (N, 3, H, W) in networks."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 (N, H, W, 3) -> float32 (N, 3, H, W) in [0, 1]."""
    return images.permute(0, 3, 1, 2).float() / 255


def as_tensor(images: np.ndarray) -> Tensor:
    """uint8 [N, H, W, 3], memory-mapped perhaps, as a tensor of its own."""
    return torch.from_numpy(np.array(images))
