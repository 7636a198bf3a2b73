"""Models over whole sets of images, in batches: uint8 [N, H, W, 3] in and out, in numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor
from tinycats.evaluator.network import Evaluator
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, to_uint8
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.params import SamplerSettings

BATCH_SIZE = 64


def generate(
    model: TinyDiT, labels: Sequence[int] | np.ndarray, settings: SamplerSettings, seed: int, device: torch.device
) -> np.ndarray:
    """Generated images, uint8 [N, S, S, 3], one for each label; image i starts from noise (seed, i)."""
    classes = one_hot_classes(torch.as_tensor(labels), model.config.num_classes)
    dtype = resolve_dtype("auto", device)
    batches = []
    for start in range(0, len(labels), BATCH_SIZE):
        rows = range(start, min(start + BATCH_SIZE, len(labels)))
        noise = initial_noise(seed, rows, model.config.image_size)
        with autocast(device, dtype):
            batch = sample(model, noise.to(device), classes[rows.start : rows.stop].to(device), settings)
        batches.append(to_uint8(batch).cpu().numpy())
    return np.concatenate(batches)


def noise_images(seed: int, count: int, image_size: int) -> np.ndarray:
    """What the sampler starts from, as images: uint8 [count, S, S, 3]. No generator should be worse than this."""
    return to_uint8(initial_noise(seed, range(count), image_size)).numpy()


def predict(classifier: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Probabilities, float32 [N, K], of uint8 images [N, H, W, 3] of any size."""
    return _batched(classifier.predict, images, classifier.config.image_size, device)


def predict_unscaled(classifier: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """predict() without temperature scaling."""
    return _batched(classifier.predict_unscaled, images, classifier.config.image_size, device)


def evaluator_features(evaluator: Evaluator, images: np.ndarray, device: torch.device) -> np.ndarray:
    """Features, float32 [N, D], of uint8 images [N, H, W, 3] of any size."""
    return _batched(evaluator.features, images, evaluator.config.image_size, device)


def _batched(
    compute: Callable[[Tensor], Tensor], images: np.ndarray, image_size: int, device: torch.device
) -> np.ndarray:
    batches = (as_tensor(images[start : start + BATCH_SIZE]) for start in range(0, len(images), BATCH_SIZE))
    return np.concatenate([compute(_resize(batch.to(device), image_size)).cpu().numpy() for batch in batches])


def _resize(images: Tensor, size: int) -> Tensor:
    """uint8 (N, H, W, 3) to (N, size, size, 3), bilinear with antialiasing."""
    if images.shape[1:3] == (size, size):
        return images
    pixels = images.permute(0, 3, 1, 2).float()
    resized = F.interpolate(pixels, size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
