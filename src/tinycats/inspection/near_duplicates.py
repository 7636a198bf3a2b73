"""Copies of an image that were resized, recompressed, cropped a little or mirrored.

Candidates are nearest neighbours, in the features of a frozen network and as tiny thumbnails. A candidate is a copy where
the pixels agree once both are aligned: first all scales and shifts at low resolution, by correlation, then the exact ones,
by Gauss-Newton steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinycats.data.pixels import as_tensor, to_float
from tinycats.runtime.track import track

NEIGHBOURS = 5  # of each image, by features, as thumbnails and as mirrored ones, that are compared pixel by pixel
# Measured on planted copies and on other pairs of nearest neighbours (benchmarks/data_report.py): both must hold.
MIN_CORRELATION = 0.85  # of the details of the aligned images
MAX_COLOUR_DIFFERENCE = 0.02  # root mean square over the aligned images, of 1

TINY_PX = 12
COARSE_PX = 32
FINE_PX = 64
RATIOS = (0.8, 0.85, 0.9, 0.95, 1.0, 1 / 0.95, 1 / 0.9, 1 / 0.85, 1 / 0.8)  # sizes of one's content in the other
CENTRE = 0.7  # share of the side of the middle part that is searched for
WORTH_REFINING = 0.75  # correlation at low resolution
STEPS = 5  # of Gauss-Newton
CHUNK = 512  # images or pairs at a time
GREY = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Pair:
    """Two images, by their numbers, of which one is a copy of the other."""

    first: int
    second: int
    correlation: float
    mirrored: bool


def near_duplicates(images: np.ndarray, features: np.ndarray, rows: np.ndarray | None = None) -> list[Pair]:
    """The pairs of copies among uint8 images [M, S, S, 3], memory-mapped perhaps, in the order of their numbers.

    Only the images in `rows` [N] are looked at, if given: they have the features [N, C], and are numbered from 0.
    """
    rows = np.arange(len(images)) if rows is None else rows
    if len(rows) < 2:
        return []
    candidates = _candidates(images, features, rows)
    correlation, colour, mirrored = likeness(images, rows[candidates])
    found = (correlation >= MIN_CORRELATION) & (colour <= MAX_COLOUR_DIFFERENCE)
    return [
        Pair(int(first), int(second), float(value), bool(flipped))
        for (first, second), value, flipped in zip(candidates[found], correlation[found], mirrored[found], strict=True)
    ]


def leave_out(pairs: Sequence[Pair], order: Sequence[int]) -> dict[int, int]:
    """Which image to drop, and the kept one that it is a copy of. Earlier in `order` is kept."""
    twins: dict[int, set[int]] = {}
    for pair in pairs:
        twins.setdefault(pair.first, set()).add(pair.second)
        twins.setdefault(pair.second, set()).add(pair.first)
    dropped: dict[int, int] = {}
    for image in order:
        if image not in dropped:
            for twin in twins.get(image, ()):
                dropped.setdefault(twin, image)
    return dropped


def likeness(images: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pair: the correlation of its details when aligned, the difference of its colours, whether it is mirrored."""
    used, numbers = np.unique(pairs, return_inverse=True)
    details = _details(_grey(_thumbnails(images, COARSE_PX, used)))
    coarse, scale, shift, mirrored = _search(details, torch.from_numpy(numbers.reshape(-1, 2)))
    correlation, colour = coarse.clone(), torch.ones(len(pairs))
    worth = (coarse >= WORTH_REFINING).nonzero()[:, 0]
    for chosen in track(worth.split(CHUNK), "aligning near-duplicates"):
        image, template = (_thumbnails(images, FINE_PX, pairs[chosen.numpy(), side]) for side in (0, 1))
        template = torch.where(mirrored[chosen, None, None, None], template.flip(3), template)
        correlation[chosen], colour[chosen] = _align(image, template, scale[chosen], shift[chosen])
    return correlation.numpy(), colour.numpy(), mirrored.numpy()


def _candidates(images: np.ndarray, features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Pairs [P, 2] that may be copies, the smaller number first."""
    tiny = _thumbnails(images, TINY_PX, rows)
    straight, mirrored = ((view - tiny.mean(dim=0)).flatten(1) for view in (tiny, tiny.flip(3)))
    of_features = torch.from_numpy(features)
    found = [_neighbours(of_features, of_features), _neighbours(straight, straight), _neighbours(straight, mirrored)]
    pairs: np.ndarray = np.unique(torch.cat(found).sort(dim=1).values.numpy(), axis=0)
    return pairs


def _neighbours(vectors: Tensor, others: Tensor) -> Tensor:
    """The pairs of each vector and the nearest of the others, by cosine similarity; not with the other of its own number."""
    vectors, others = (F.normalize(side.float(), dim=1) for side in (vectors, others))
    pairs = []
    for own in torch.arange(len(vectors)).split(CHUNK):
        similarity = vectors[own] @ others.T
        similarity[torch.arange(len(own)), own] = -2
        nearest = similarity.topk(min(NEIGHBOURS, len(others) - 1), dim=1).indices
        pairs.append(torch.stack([own[:, None].expand_as(nearest), nearest], dim=2).flatten(0, 1))
    return torch.cat(pairs)


def _thumbnails(images: np.ndarray, size: int, rows: np.ndarray) -> Tensor:
    """float (N, 3, size, size) in [0, 1] of the images in these rows."""
    parts = np.split(rows, range(CHUNK, len(rows), CHUNK))
    return torch.cat([_shrink(to_float(as_tensor(images[part])), size) for part in parts])


def _shrink(images: Tensor, size: int) -> Tensor:
    return F.interpolate(images, size=(size, size), mode="bilinear", antialias=True)


def _grey(images: Tensor) -> Tensor:
    return (images * torch.tensor(GREY).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def _details(images: Tensor) -> Tensor:
    """Without what changes slowly, which is alike in many images."""
    radius = images.shape[2] // 16
    blurred = F.avg_pool2d(F.pad(images, (radius,) * 4, mode="reflect"), 2 * radius + 1, 1)
    return images - blurred


def _search(images: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Where in the first image (N, 1, S, S) of each pair is the middle of the second one?

    Returns the best normalised correlation, the scale and the shift (x, y) of the second image's content in the first,
    in coordinates from -1 to 1, and whether it is mirrored.
    """
    size = images.shape[2]
    side = round(size * CENTRE)
    start = (size - side) // 2
    middle = images[:, :, start : start + side, start : start + side]
    spectra = torch.fft.rfft2(images[:, 0])
    best, scale = torch.full((len(pairs),), -1.0), torch.ones(len(pairs))
    shift, mirrored = torch.zeros(len(pairs), 2), torch.zeros(len(pairs), dtype=torch.bool)
    for ratio in track(RATIOS, "looking for near-duplicates"):
        patch_px = round(side * ratio)
        patch = _shrink(middle, patch_px)[:, 0]
        patch = F.normalize((patch - patch.mean(dim=(1, 2), keepdim=True)).flatten(1), dim=1).view_as(patch)
        mean, square = (F.avg_pool2d(power, patch_px, 1)[:, 0] for power in (images, images**2))
        norm = ((square - mean**2).clamp(min=1e-6) * patch_px**2).sqrt()
        places = size - patch_px + 1
        for flip in (False, True):
            patch_spectra = torch.fft.rfft2(patch.flip(2) if flip else patch, s=(size, size)).conj()
            for chosen in torch.arange(len(pairs)).split(CHUNK):
                first, second = pairs[chosen, 0], pairs[chosen, 1]
                products = torch.fft.irfft2(spectra[first] * patch_spectra[second], s=(size, size))
                value, place = (products[:, :places, :places] / norm[first]).flatten(1).max(dim=1)
                better = value > best[chosen]
                chosen, place = chosen[better], place[better]
                best[chosen], scale[chosen], mirrored[chosen] = value[better], patch_px / side, flip
                corner = torch.stack([place % places, place // places], dim=1)
                shift[chosen] = (corner * 2 + patch_px) / size - 1
    return best, scale, shift, mirrored


def _align(image: Tensor, template: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Correlation of details and difference of colours of (N, 3, S, S) after Gauss-Newton steps from scale and shift.

    A point (x, y) of the template is (a x + b, c y + d) of the image. The steps see both without mean and contrast.
    """
    count, _, size, _ = image.shape
    axis = (torch.arange(size) * 2 + 1) / size - 1
    x, y = axis.view(1, 1, size), axis.view(1, size, 1)
    parameters = torch.stack([scale, shift[:, 0], scale, shift[:, 1]], dim=1)
    grey, target = _grey(image), _grey(template)
    slope_x, slope_y = (torch.gradient(grey, dim=dim)[0] * (size / 2) for dim in (3, 2))
    layers = torch.cat([grey, slope_x, slope_y], dim=1)

    def warp(layers: Tensor) -> tuple[Tensor, Tensor]:
        a, b, c, d = (parameters[:, number].view(-1, 1, 1) for number in range(4))
        grid = torch.stack([(a * x + b).expand(-1, size, -1), (c * y + d).expand(-1, -1, size)], dim=3)
        inside = (grid.abs() <= 1 - 1 / size).all(dim=3).float()
        return F.grid_sample(layers, grid, mode="bilinear", padding_mode="border", align_corners=False), inside

    for _ in range(STEPS):
        warped, inside = warp(layers)
        now, gain = _standardised(warped[:, 0], inside)
        wanted, _ = _standardised(target[:, 0], inside)
        sx, sy = warped[:, 1] / gain, warped[:, 2] / gain
        slopes = torch.stack([sx * x, sx, sy * y, sy], dim=3) * inside[..., None]  # (N, S, S, 4)
        slopes = slopes.flatten(1, 2)
        normal = slopes.transpose(1, 2) @ slopes + 1e-2 * torch.eye(4)
        right = slopes.transpose(1, 2) @ (wanted - now).flatten(1)[..., None]
        step = torch.linalg.solve(normal, right)[..., 0].clamp(-0.1, 0.1)
        parameters = parameters + step
    warped, inside = warp(torch.cat([image, _details(grey)], dim=1))
    overlap = inside.sum(dim=(1, 2)).clamp(min=1)
    one, _ = _standardised(warped[:, 3], inside)
    other, _ = _standardised(_details(target)[:, 0], inside)
    correlation = (one * other * inside).sum(dim=(1, 2)) / overlap
    difference = ((_blur(warped[:, :3]) - _blur(template)) ** 2).mean(dim=1) * inside
    colour = (difference.sum(dim=(1, 2)) / overlap).sqrt()
    enough = overlap >= 0.5 * size**2
    return torch.where(enough, correlation, torch.zeros(count)), colour


def _blur(images: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(images, (2,) * 4, mode="replicate"), 5, 1)


def _standardised(images: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """With mean 0 and deviation 1 over the pixels (N, S, S) that are `inside`, and what they were divided by."""
    overlap = inside.sum(dim=(1, 2), keepdim=True).clamp(min=1)
    mean = (images * inside).sum(dim=(1, 2), keepdim=True) / overlap
    deviation = (((images - mean) ** 2 * inside).sum(dim=(1, 2), keepdim=True) / overlap).sqrt().clamp(min=1e-3)
    return (images - mean) / deviation, deviation
