"""Features of a frozen ImageNet network: a yardstick that no training run and no choice has touched."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.backbones.networks import normalisation, pretrained
from tinycats.data.pixels import read_rows, to_float
from tinycats.runtime.timm import timm
from tinycats.runtime.track import progress

# Of the images as the network sees them, whatever their own size is. Images that are generated at 64 px have nothing to
# show beyond it, and a larger one costs time with the square.
FEATURE_SIZE = 128
TOKENS_SIZE = 224  # of networks that are made for one size, as transformers are
BATCH_SIZE = 64
WITHOUT = "-S evaluate.features=tf_efficientnet_lite2"  # whose package is always installed


class FrozenFeatures(nn.Module):
    """uint8 images (B, H, W, 3) of any size -> the features that the network's head would see, float32 (B, C)."""

    mean: Tensor
    std: Tensor

    def __init__(self, arch: str, without: str) -> None:
        """`without`: what to set to do without the weights. Raises UserError where they cannot be had."""
        super().__init__()
        self.arch, self.image_size = arch, FEATURE_SIZE
        options = {}
        if timm.get_pretrained_cfg(arch, allow_unregistered=False).fixed_input_size:
            self.image_size, options = TOKENS_SIZE, {"img_size": TOKENS_SIZE}
        self.network = pretrained(arch, without, num_classes=0, **options)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        statistics = normalisation(arch)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        pixels = (to_float(resize(images, self.image_size)) - self.mean) / self.std
        features: Tensor = self.network(pixels.contiguous(memory_format=torch.channels_last))
        return features.float()


def feature_name(arch: str) -> str:
    """The name that figures made with the features carry: fd_efficientnet_lite2."""
    return arch.removeprefix("tf_").replace(".", "_")


@torch.inference_mode()
def features_of(
    network: FrozenFeatures, images: np.ndarray, whose: str = "images", rows: np.ndarray | None = None
) -> np.ndarray:
    """Features, float32 [N, C], of uint8 images [N, H, W, 3] of any size, or of these rows, on the network's device.

    `whose`: what the images are called where it is shown how many are done.
    """
    rows = np.arange(len(images)) if rows is None else rows
    device, features = network.mean.device, []
    with progress(f"features of {whose}", len(rows)) as advance:
        for start in range(0, len(rows), BATCH_SIZE):
            batch = torch.from_numpy(read_rows(images, rows[start : start + BATCH_SIZE]))
            features.append(network(batch.to(device)).cpu().numpy())
            advance(len(batch))
    return np.concatenate(features)


def resize(images: Tensor, size: int) -> Tensor:
    """uint8 (N, H, W, 3) to (N, size, size, 3), bilinear with antialiasing."""
    if images.shape[1:3] == (size, size):
        return images
    pixels = images.permute(0, 3, 1, 2).float()
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
