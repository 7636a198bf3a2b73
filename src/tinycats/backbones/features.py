"""Features of a frozen ImageNet network: a yardstick that no training run and no choice has touched."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.backbones.networks import DO_WITHOUT, create_trunk, feature_channels, load_imagenet, normalisation
from tinycats.data.pixels import as_tensor, to_float

# Of the images as the network sees them, whatever their own size is. Images that are generated at 64 px have nothing to
# show beyond it, and a larger one costs time with the square.
FEATURE_SIZE = 128
BATCH_SIZE = 64


class FrozenFeatures(nn.Module):
    """uint8 images (B, H, W, 3) of any size -> pooled features of the last map, float32 (B, C)."""

    mean: Tensor
    std: Tensor

    def __init__(self, arch: str, without: str = DO_WITHOUT) -> None:
        """`without`: what to do without weights. Raises UserError where they cannot be had, or there is no feature map."""
        super().__init__()
        self.arch = arch
        self.trunk = create_trunk(arch).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.num_features = feature_channels(self.trunk, arch, FEATURE_SIZE)
        load_imagenet(self.trunk, arch, without)
        statistics = normalisation(arch)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (to_float(resize(images, FEATURE_SIZE)) - self.mean) / self.std
        maps = self.trunk(pixels.contiguous(memory_format=torch.channels_last))  # (B, C, h, w)
        return maps.float().mean(dim=(2, 3))


def feature_name(arch: str) -> str:
    """The name that figures made with the features carry: fd_efficientnet_lite2."""
    return arch.removeprefix("tf_").replace(".", "_")


@torch.inference_mode()
def features_of(network: FrozenFeatures, images: np.ndarray) -> np.ndarray:
    """Features, float32 [N, C], of uint8 images [N, H, W, 3] of any size, on the network's device."""
    device = network.mean.device
    batches = (as_tensor(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE))
    return np.concatenate([network(batch.to(device)).cpu().numpy() for batch in batches])


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 (N, H, W, 3) to (N, size, size, 3), bilinear with antialiasing."""
    if images.shape[1:3] == (size, size):
        return images
    pixels = images.permute(0, 3, 1, 2).float()
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
