"""The discriminator: light heads that look at the maps of a frozen network (projected GANs, Sauer et al. 2021).

It knows nothing of times: what it judges are clean images, real ones and those that the student predicts.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import ParametrizationList

from tinycats.backbones.networks import normalisation, pretrained
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.params import Differentiable

SCALES = 4
WITHOUT = "-S distill.adversary.network=tf_efficientnet_lite0"  # whose package is always installed
AUGMENTATION_NUMBERS = 7  # of a row, uniform in [0, 1)
LARGEST_SHIFT = 1 / 8  # of the side
CUTOUT_SIDE = 1 / 2


class FrozenMaps(nn.Module):
    """Images in [-1, 1] -> maps of a frozen network at its last SCALES scales, each standardised for each image.

    Images are augmented on the way, differentiably (Zhao et al. 2020). Gradients flow through it; nothing in it is trained.
    """

    resampling: Tensor
    mean: Tensor
    std: Tensor

    def __init__(
        self,
        arch: str,
        image_size: int,
        feature_size: int,
        augmentation: Collection[Differentiable],
    ) -> None:
        """Images of `image_size` px are seen at `feature_size`. `augmentation`: the kinds that are used.

        Raises UserError where the weights cannot be had or the network has no such maps.
        """
        super().__init__()
        self.augmentation = frozenset(augmentation)
        self.network: Any = pretrained(arch, WITHOUT, num_classes=0, global_pool="").eval()
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # Bilinear resizing of one side, with antialiasing, as a matrix; shifted rows make it a translation as well. Products of
        # matrices give the same gradients in each run, which resampling on a grid does not on a GPU.
        side = F.interpolate(
            torch.eye(image_size)[None, None], (feature_size, image_size), mode="bilinear", antialias=True
        )
        self.register_buffer("resampling", side[0, 0])  # (feature_size, image_size)
        statistics = normalisation(arch)
        self.register_buffer("mean", torch.tensor(statistics.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(statistics.std).view(1, 3, 1, 1))
        self.channels = self._channels(arch, feature_size)
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor, numbers: Tensor) -> list[Tensor]:
        """Maps (B, C, h, w), the finest first. images (B, 3, S, S); numbers (B, AUGMENTATION_NUMBERS) choose the augmentation."""
        return self._maps(self.view(images, numbers))

    def view(self, images: Tensor, numbers: Tensor) -> Tensor:
        """The images, float32 (B, 3, F, F), as the network sees them, but for their normalisation."""
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 has fewer shades than an image
            images, numbers = images.float(), numbers[:, :, None, None, None]
            if "colour" in self.augmentation:
                brightness, saturation, contrast = numbers[:, :3].unbind(1)
                images = images + (brightness - 0.5)
                grey = images.mean(dim=1, keepdim=True)
                images = grey + 2 * saturation * (images - grey)
                mean = images.mean(dim=(1, 2, 3), keepdim=True)
                images = mean + (0.5 + contrast) * (images - mean)
            sides = numbers[:, 3:5, 0, 0, 0].unbind(1)  # vertical, horizontal
            rows, columns = (self._resampling(side)[:, None] for side in sides)
            seen = rows @ images @ columns.transpose(2, 3)
            if "cutout" in self.augmentation:
                places = torch.arange(0.5, seen.shape[2], device=seen.device) / seen.shape[2]  # (F,)
                down, across = (
                    (places - middle[:, 0, 0]).abs() < CUTOUT_SIDE / 2 for middle in numbers[:, 5:].unbind(1)
                )
                seen = seen.masked_fill((down[:, :, None] & across[:, None])[:, None], 0.0)
        return seen

    def _resampling(self, chosen: Tensor) -> Tensor:
        """The matrices (B, F, S) that resize one side and move it by what was chosen in [0, 1), (B,); outside is grey."""
        size = len(self.resampling)
        if "translation" not in self.augmentation:
            return self.resampling.expand(len(chosen), -1, -1)
        shift = ((2 * chosen - 1) * LARGEST_SHIFT * size).round().long()
        places = torch.arange(size, device=chosen.device) - shift[:, None]  # (B, F)
        outside = (places < 0) | (places >= size)
        return F.pad(self.resampling, (0, 0, 0, 1))[torch.where(outside, size, places)]  # the last row is 0

    def _maps(self, seen: Tensor) -> list[Tensor]:
        pixels = ((seen + 1) / 2 - self.mean) / self.std
        maps: list[Tensor] = self.network.forward_intermediates(
            pixels.contiguous(memory_format=torch.channels_last), indices=SCALES, intermediates_only=True
        )
        return [F.group_norm(each, 1) for each in maps]

    @torch.no_grad()
    def _channels(self, arch: str, feature_size: int) -> list[int]:
        wrong = f"distill.adversary.network: {arch} has no {SCALES} feature maps of images of {feature_size} px"
        try:
            maps = self._maps(torch.zeros(1, 3, feature_size, feature_size))
        except (AssertionError, AttributeError, RuntimeError, ValueError) as error:
            raise UserError(f"{wrong} ({first_line(error)})") from None
        return [each.shape[1] for each in maps]


class Head(nn.Module):
    """Logits of the places of one map, with a projection on the class (Miyato & Koyama 2018)."""

    def __init__(self, in_channels: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.squeeze = spectral_norm(nn.Conv2d(in_channels, channels, 1))
        self.look = spectral_norm(nn.Conv2d(channels, channels, 3, padding=1))
        self.score = spectral_norm(nn.Conv2d(channels, 1, 1))
        self.class_embedding = spectral_norm(nn.Linear(num_classes + 1, channels, bias=False))

    def forward(self, features: Tensor, class_weights: Tensor) -> Tensor:
        x = F.leaky_relu(self.squeeze(features), 0.2)
        x = x + F.leaky_relu(self.look(x), 0.2)  # (B, C, h, w)
        of_class = (x * self.class_embedding(class_weights)[:, :, None, None]).sum(dim=1)
        return (self.score(x)[:, 0] + of_class).flatten(1)


class Heads(nn.Module):
    """A head a map."""

    def __init__(self, in_channels: Sequence[int], channels: int, num_classes: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(Head(count, channels, num_classes) for count in in_channels)
        self.train()

    def forward(self, maps: Sequence[Tensor], class_weights: Tensor) -> list[Tensor]:
        """The logits (B, h * w) of each map. class_weights (B, K + 1) as TinyDiT takes them."""
        with torch.autocast(maps[0].device.type, enabled=False):
            return [head(each.float(), class_weights) for head, each in zip(self.heads, maps, strict=True)]

    def train(self, mode: bool = True) -> Heads:
        """Spectral norms estimate their norms anew in refresh() and nowhere else: the parts of a batch see the same weights."""
        return super().train(False)

    @torch.no_grad()
    def refresh(self) -> None:
        """Bring the estimates of the weights' norms nearer. To be called once a step."""
        for module in self.modules():
            if isinstance(module, ParametrizationList):
                module.train()
                module()
                module.eval()


class ClassProbe(nn.Module):
    """A linear classifier by the means of the maps: what the frozen network knows of the classes."""

    def __init__(self, in_channels: Sequence[int], num_classes: int) -> None:
        super().__init__()
        self.linear = nn.Linear(sum(in_channels), num_classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Logits (B, K)."""
        with torch.autocast(maps[0].device.type, enabled=False):
            logits: Tensor = self.linear(torch.cat([each.float().mean(dim=(2, 3)) for each in maps], dim=1))
        return logits
