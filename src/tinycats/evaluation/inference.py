"""Models over whole sets of images, in batches: uint8 [N, H, W, 3] in and out, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from tinycats.backbones.features import resize
from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, to_uint8
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.params import SamplerSettings
from tinycats.runtime.track import progress

BATCH_SIZE = 64


def generate(
    model: TinyDiT,
    labels: Sequence[int] | np.ndarray,
    settings: SamplerSettings,
    seed: int,
    device: torch.device,
    what: str = "images",
) -> np.ndarray:
    """Generated images, uint8 [N, S, S, 3], one for each label; image i starts from noise (seed, i).

    `what`: what they are called where it is shown how many are done.
    """
    classes = one_hot_classes(torch.as_tensor(labels), model.config.num_classes)
    dtype = resolve_dtype("auto", device)
    batches = []
    with progress(f"generating {what}", len(labels)) as advance:
        for start in range(0, len(labels), BATCH_SIZE):
            rows = range(start, min(start + BATCH_SIZE, len(labels)))
            noise, weights = initial_noise(seed, rows, model.config.image_size), classes[rows.start : rows.stop]
            share = len(rows) / settings.steps
            with autocast(device, dtype):
                batch = sample(
                    model, noise.to(device), weights.to(device), settings, on_step=lambda *_, n=share: advance(n)
                )
            batches.append(to_uint8(batch).cpu().numpy())
    return np.concatenate(batches)


def noise_images(seed: int, count: int, image_size: int) -> np.ndarray:
    """What the sampler starts from, as images: uint8 [count, S, S, 3]. No generator should be worse than this."""
    return to_uint8(initial_noise(seed, range(count), image_size)).numpy()


def predict(classifier: Classifier, images: np.ndarray, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, float32 [N, K], and distances to the training images, float32 [N], of uint8 images [N, H, W, 3]."""
    answers = [classifier.predict(batch) for batch in _batches(classifier, images, device)]
    probabilities, distances = zip(*answers, strict=True)
    return torch.cat(probabilities).cpu().numpy(), torch.cat(distances).cpu().numpy()


def predict_unscaled(classifier: Classifier, images: np.ndarray, device: torch.device) -> np.ndarray:
    """The probabilities of predict() without temperature scaling."""
    return (
        torch.cat([classifier.predict_unscaled(batch) for batch in _batches(classifier, images, device)]).cpu().numpy()
    )


def _batches(classifier: Classifier, images: np.ndarray, device: torch.device) -> Iterator[Tensor]:
    """The images, of any size, in the classifier's."""
    with progress("classifying images", len(images)) as advance:
        for start in range(0, len(images), BATCH_SIZE):
            batch = as_tensor(images[start : start + BATCH_SIZE])
            yield resize(batch.to(device), classifier.config.image_size)
            advance(len(batch))
