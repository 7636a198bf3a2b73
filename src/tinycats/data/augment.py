"""Augmentation of whole batches of tensors, on their device; every random number comes from what is passed in."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinycats.data.randomness import RowRandom
from tinycats.runtime.params import AugmentationLevel


def augment(
    pixels: Tensor,
    level: AugmentationLevel,
    random: RowRandom,
    mirror: bool = True,
    min_crop: float = 0.45,
    size: int | None = None,
) -> Tensor:
    """Augment float pixels (N, 3, H, W) in [0, 1]; with `full`, the result is (N, 3, size, size) where `size` is given.

    none: as they are. basic: mirrored half of the time (never where `mirror` is off: a mirrored digit is another sign,
    or none). full: mirrored, rotated, sheared, a random resized crop that keeps at least `min_crop` of the area (one
    bilinear resampling does all of it), and changed in brightness, contrast and saturation.
    """
    if level == "none":
        return pixels
    mirrored = random.uniform() < (0.5 if mirror else 0.0)
    if level == "basic":
        return torch.where(mirrored[:, None, None, None], pixels.flip(3), pixels)
    return jitter_colours(resample(pixels, mirrored, random, (min_crop, 1.0), size=size), random)


def resample(
    pixels: Tensor,
    mirrored: Tensor,
    random: RowRandom,
    area: tuple[float, float],
    ratio: float = 4 / 3,
    degrees: float = 12.0,
    shear: float = 0.1,
    size: int | None = None,
) -> Tensor:
    """Random resized crop, rotation and shear of (N, 3, H, W) in one affine resampling; `mirrored` is bool (N,).

    `area` is the cropped share of the picture, `ratio` its largest aspect ratio, `shear` the largest slope. The result is
    (N, 3, size, size), or as large as the pictures.
    """
    n = len(pixels)
    side = random.uniform(*area).sqrt()
    aspect = torch.exp(random.uniform(-math.log(ratio), math.log(ratio)) / 2)
    width, height = (side * aspect).clamp(max=1), (side / aspect).clamp(max=1)
    x = random.uniform(-1, 1) * (1 - width)  # the crop stays inside the picture
    y = random.uniform(-1, 1) * (1 - height)
    angle = random.uniform(-degrees, degrees) * math.pi / 180
    slope = random.uniform(-shear, shear)
    sign = torch.where(mirrored, -1.0, 1.0)
    cos, sin = angle.cos(), angle.sin()
    theta = torch.stack(
        [
            torch.stack([sign * width * cos, height * (slope * cos - sin), x], dim=1),
            torch.stack([sign * width * sin, height * (slope * sin + cos), y], dim=1),
        ],
        dim=1,
    )  # (N, 2, 3), from output to input coordinates
    shape = list(pixels.shape) if size is None else [n, pixels.shape[1], size, size]
    grid = F.affine_grid(theta, shape, align_corners=False)
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def enlarge_small(pixels: Tensor, share: float, random: RowRandom) -> Tensor:
    """A share of float pixels (N, 3, S, S) as if each were a small picture, enlarged: down to a quarter of the side.

    Photos are sharp; what people bring, thumbnails, cut-outs and generated pictures, often is not.
    """
    small, side = random.uniform() < share, 0.25 ** random.uniform()
    pixels = pixels.clone()
    for row in small.nonzero()[:, 0].tolist():
        size = max(round(float(side[row]) * pixels.shape[2]), 1)
        shrunk = F.interpolate(pixels[row : row + 1], (size, size), mode="bilinear", antialias=True)
        pixels[row] = F.interpolate(shrunk, pixels.shape[2:], mode="bilinear")[0]
    return pixels


def jitter_colours(pixels: Tensor, random: RowRandom, strength: float = 0.3) -> Tensor:
    """Scale brightness, contrast and saturation of (N, 3, H, W) each by up to 1 +- strength."""
    n = len(pixels)
    brightness, contrast, saturation = (random.uniform(1 - strength, 1 + strength).view(n, 1, 1, 1) for _ in range(3))
    grey = pixels.mean(dim=1, keepdim=True)
    pixels = grey + saturation * (pixels - grey)
    mean = grey.mean(dim=(2, 3), keepdim=True)
    return (brightness * (mean + contrast * (pixels - mean))).clamp(0, 1)


def mix(pixels: Tensor, targets: Tensor, alpha: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """MixUp (Zhang et al. 2018): each of float pixels (N, 3, H, W) and targets (N, K) with its neighbour's."""
    share = float(rng.beta(alpha, alpha))
    return share * pixels + (1 - share) * _neighbours(pixels), share * targets + (1 - share) * _neighbours(targets)


def cut(pixels: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """CutMix (Yun et al. 2019): as mix(), but a rectangle of the neighbour is pasted in, of uniformly distributed area."""
    height, width = pixels.shape[2:]
    side = math.sqrt(rng.random())
    y, x = rng.uniform(0, height), rng.uniform(0, width)  # its middle: the rectangle may reach out of the image
    top, bottom = max(round(y - side * height / 2), 0), min(round(y + side * height / 2), height)
    left, right = max(round(x - side * width / 2), 0), min(round(x + side * width / 2), width)
    pixels, others = pixels.clone(), _neighbours(pixels)
    pixels[:, :, top:bottom, left:right] = others[:, :, top:bottom, left:right]
    share = 1 - (bottom - top) * (right - left) / (height * width)
    return pixels, share * targets + (1 - share) * _neighbours(targets)


def _neighbours(rows: Tensor) -> Tensor:
    """Rows 1, 0, 3, 2 ... of (N, ...); an odd last row stays. A batch that processes share in pairs is mixed as on one."""
    even = len(rows) // 2 * 2
    swapped = rows[:even].unflatten(0, (-1, 2)).flip(1).flatten(0, 1)
    return torch.cat([swapped, rows[even:]])
