"""Copies of an image that were resized, recompressed, cropped a little or mirrored.

Candidates are nearest neighbours, in the features of a frozen network and as tiny thumbnails; of many images those within small
groups, so that time grows with their number and not with its square. A candidate is a copy where the pixels agree once both are
aligned: first all scales and shifts at low resolution, by correlation, then the exact ones, by Gauss-Newton steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinycats.data.pixels import read_rows, to_float
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
PAIRS_AT_ONCE = 1 << 14  # whose thumbnails are in memory
ALL_PAIRS = 20_000  # images whose neighbours are searched among all; of more
GROUP = 2048  # images are compared with each other at most,
GROUPINGS = 4  # in so many groupings: what one has torn apart, another has together
GREY = (0.299, 0.587, 0.114)


Vectors = Callable[[Tensor], Tensor]  # float32 (n, D) of the images with these numbers, int64 (n,)


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
    parts = np.split(pairs, range(PAIRS_AT_ONCE, len(pairs), PAIRS_AT_ONCE))
    correlation, colour, mirrored = zip(*(_likeness(images, part) for part in parts), strict=True)
    return np.concatenate(correlation), np.concatenate(colour), np.concatenate(mirrored)


def _likeness(images: np.ndarray, pairs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    count = len(rows)
    tiny = _thumbnails(images, TINY_PX, rows, torch.float32 if count <= ALL_PAIRS else torch.float16)
    mean, of_features = tiny.mean(dim=0, dtype=torch.float32), torch.from_numpy(features)

    def straight(chosen: Tensor) -> Tensor:
        return (tiny[chosen] - mean).flatten(1)

    def mirrored(chosen: Tensor) -> Tensor:
        return (tiny[chosen].flip(3) - mean).flatten(1)

    def by_features(chosen: Tensor) -> Tensor:
        return of_features[chosen].float()

    found = [
        _neighbours(by_features, by_features, count),
        _neighbours(straight, straight, count),
        _neighbours(straight, mirrored, count),
    ]
    # one number a pair: less memory
    numbered = torch.cat([pairs.amin(dim=1) * count + pairs.amax(dim=1) for pairs in found])
    return np.stack(np.divmod(np.unique(numbered.numpy()), count), axis=1)


def _neighbours(own: Vectors, others: Vectors, count: int) -> Tensor:
    """The pairs of each of `count` images and the nearest of the others, by cosine similarity; not with itself.

    Of more than ALL_PAIRS images the nearest of those that share a group with it.
    """
    wanted = min(NEIGHBOURS, count - 1)
    best, nearest = torch.full((count, wanted), -2.0), torch.full((count, wanted), -1)
    for rows, candidates in _groups(own, others, torch.arange(count)):
        of_candidates = F.normalize(others(candidates), dim=1)
        for part in rows.split(CHUNK):
            similarity = F.normalize(own(part), dim=1) @ of_candidates.T
            similarity[part[:, None] == candidates] = -2
            value, place = similarity.topk(min(wanted, len(candidates)), dim=1)
            found = candidates[place]
            value[(found[:, :, None] == nearest[part][:, None]).any(dim=2)] = -2  # in an earlier grouping too
            both, found = torch.cat([best[part], value], dim=1), torch.cat([nearest[part], found], dim=1)
            best[part], place = both.topk(wanted, dim=1)
            nearest[part] = found.gather(1, place)
    pairs = torch.stack([torch.arange(count)[:, None].expand_as(nearest), nearest], dim=2)
    return pairs[best > -2]


def _groups(own: Vectors, others: Vectors, everything: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Which images (numbers) to compare with which others: all with all, or groups of similar ones, in GROUPINGS ways.

    A group is halved at the middle of the direction from one of its vectors to another, both drawn at random, until no more than
    GROUP of the others are in it (random projection trees, Dasgupta & Freund 2008).
    """
    if len(everything) <= ALL_PAIRS:
        yield everything, everything
        return
    random = torch.Generator().manual_seed(0)
    waiting = [(everything, everything)] * GROUPINGS
    while waiting:
        rows, candidates = waiting.pop()
        if len(candidates) <= GROUP:
            yield rows, candidates
            continue
        one, other = others(candidates[torch.randint(len(candidates), (2,), generator=random)])
        along_own, along = _along(own, rows, other - one), _along(others, candidates, other - one)
        order, half = along.argsort(stable=True), len(candidates) // 2
        lower = along_own < along[order[half]]
        waiting += [(rows[lower], candidates[order[:half]]), (rows[~lower], candidates[order[half:]])]


def _along(vectors: Vectors, rows: Tensor, direction: Tensor) -> Tensor:
    """How far the vector of each of the rows (n,) reaches in the direction (D,)."""
    return torch.cat([vectors(part) @ direction for part in rows.split(CHUNK)])


def _thumbnails(images: np.ndarray, size: int, rows: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
    """float (N, 3, size, size) in [0, 1] of the images in these rows."""
    thumbnails = torch.empty(len(rows), 3, size, size, dtype=dtype)
    for part in torch.arange(len(rows)).split(CHUNK):
        thumbnails[part] = _shrink(to_float(torch.from_numpy(read_rows(images, rows[part.numpy()]))), size).to(dtype)
    return thumbnails


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
