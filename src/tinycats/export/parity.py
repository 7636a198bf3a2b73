"""How far the exported models are from the torch models, on real images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor, to_float
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.generator.network import TinyDiT, null_classes, one_hot_classes
from tinycats.generator.sampler import initial_noise
from tinycats.runtime.errors import UserError
from tinycats.runtime.track import progress

# Sizes of the first batches, so that the batch is seen to be dynamic; the rest comes in batches of the last size.
BATCH_SIZES = (1, 2, 5, 16)


@torch.no_grad()
def classifier_parity(model: Classifier, exported: OnnxClassifier, images: np.ndarray) -> dict[str, float]:
    """Differences over uint8 images [N, H, W, 3]: of probabilities, and of distances and features relative to the largest.

    Returns max_abs_diff, mean_abs_diff, distance_max_rel_diff, features_max_rel_diff, features_mean_rel_diff and n.
    """
    differences: tuple[list[np.ndarray], ...] = ([], [], [])
    largest = np.full(3, np.finfo(np.float32).tiny, np.float64)
    for rows in _batches(len(images)):
        batch = as_tensor(images[rows])
        for number, (ours, theirs) in enumerate(zip(model.answers(batch), exported(batch.numpy()), strict=True)):
            differences[number].append(np.abs(theirs - ours.numpy()))
            largest[number] = max(largest[number], float(ours.abs().max()))
    probabilities, distance, features = map(_figures, differences)
    return {
        **probabilities,
        "distance_max_rel_diff": distance["max_abs_diff"] / largest[1],
        "features_max_rel_diff": features["max_abs_diff"] / largest[2],
        "features_mean_rel_diff": features["mean_abs_diff"] / largest[2],
        "n": len(images),
    }


@torch.no_grad()
def generator_parity(
    model: TinyDiT, exported: OnnxGenerator, images: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, float]:
    """Differences of predictions for uint8 images [N, S, S, 3] under noise at N times from 0 to 1.

    In turn with the image's class, a mix of two, and the null class; h is 0 for one image and t for the next.
    Returns max_abs_diff, mean_abs_diff and n.
    """
    n, classes = len(images), model.config.num_classes
    data = 2 * to_float(as_tensor(images)) - 1  # (N, 3, S, S)
    t = torch.linspace(0, 1, n)  # (N,)
    x = torch.lerp(initial_noise(seed, range(n), model.config.image_size), data, t.view(-1, 1, 1, 1))
    h = torch.where(torch.arange(n) % 2 == 0, 0.0, t)
    own = one_hot_classes(torch.from_numpy(labels), classes)  # (N, K + 1)
    mixed = (own + one_hot_classes(torch.from_numpy((labels + 1) % classes), classes)) / 2
    weights = torch.stack([own, mixed, null_classes(own)])[torch.arange(n) % 3, torch.arange(n)]
    differences = []
    for rows in _batches(n):
        batch = (x[rows], t[rows], h[rows], weights[rows])
        differences.append((exported(*batch) - model(*batch)).abs().numpy())
    return {**_figures(differences), "n": n}


def require_parity(name: str, figures: dict[str, float], tolerance: float) -> None:
    """Raise UserError with the figures where any largest difference is past `tolerance` or is not a number."""
    worst = max((value for key, value in figures.items() if "max" in key), key=lambda value: (np.isnan(value), value))
    if not worst <= tolerance:
        told = ", ".join(f"{key} {value:.3g}" for key, value in figures.items())
        raise UserError(
            f"export_onnx: {name}.onnx differs from the torch model: {told}; export.{name}_tolerance is {tolerance:g}"
        )


def _batches(n: int) -> Iterator[slice]:
    start, sizes = 0, iter(BATCH_SIZES)
    with progress("comparing ONNX with torch", n) as advance:
        while start < n:
            size = min(next(sizes, BATCH_SIZES[-1]), n - start)
            yield slice(start, start + size)
            start += size
            advance(size)


def _figures(differences: list[np.ndarray]) -> dict[str, float]:
    flat = np.concatenate([difference.ravel() for difference in differences])
    return {"max_abs_diff": float(flat.max()), "mean_abs_diff": float(flat.mean(dtype=np.float64))}
