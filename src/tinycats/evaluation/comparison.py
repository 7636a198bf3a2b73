"""Generated images beside those of the test split, by their features: every figure that there is, each with its interval."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

import numpy as np

from tinycats.evaluation import intervals
from tinycats.evaluation.distribution import (
    TooFewImagesError,
    diversity,
    frechet_distance,
    inside_manifold,
    kernel_distance,
)
from tinycats.runtime.params import EvaluateParams
from tinycats.runtime.words import some

log = logging.getLogger(__name__)

Marks = dict[tuple[str, str], float]  # ("fd" or "kd", "floor" or "noise") -> the distance


def distances(
    features: str, test: np.ndarray, generated: np.ndarray, marks: Marks, settings: EvaluateParams, seed: int
) -> dict[str, float]:
    """FD, KD, precision, recall and diversity of features [N, D] against those of the test split, with intervals."""
    resamples, k = settings.bootstrap, settings.neighbours
    return _available(
        {
            "Fréchet distance": lambda: _with_share(
                "fd", features, intervals.frechet(f"fd_{features}", test, generated, resamples, seed), marks
            ),
            "kernel distance": lambda: _with_share(
                "kd", features, {f"kd_{features}": kernel_distance(test, generated)}, marks
            ),
            "interval of the kernel distance": lambda: _with_share(
                "kd", features, intervals.kernel(f"kd_{features}", test, generated, resamples, seed), marks
            ),
            "precision": lambda: intervals.share(f"precision_{features}", inside_manifold(generated, test, k)),
            "recall": lambda: intervals.share(f"recall_{features}", inside_manifold(test, generated, k)),
            "diversity": lambda: {f"diversity_{features}": diversity(test, generated)},
            "interval of the diversity": lambda: intervals.diversity(
                f"diversity_{features}", test, generated, resamples, seed
            ),
        }
    )


def _with_share(kind: str, features: str, figures: dict[str, float], marks: Marks) -> dict[str, float]:
    """The distance, and where it lies between its marks: 0 is the floor, 1 is noise."""
    if (kind, "floor") not in marks:
        return figures
    floor, noise = marks[kind, "floor"], marks[kind, "noise"]
    if floor == noise:  # all images have the same features
        return figures
    name = f"{kind}_{features}"
    shares = {
        f"{name}_share{key.removeprefix(name)}": (value - floor) / (noise - floor) for key, value in figures.items()
    }
    return figures | shares


def reference_marks(test: np.ndarray, train: np.ndarray, noise: np.ndarray, seed: int) -> Marks:
    """The distances of as many training images as there are of noise (the floor), and of noise, by features [N, D]."""
    chosen = np.random.default_rng(seed).permutation(len(train))[: len(noise)]
    as_many = {"floor": train[chosen], "noise": noise}
    kinds = {"fd": frechet_distance, "kd": kernel_distance}
    try:
        return {
            (kind, mark): distance(test, made) for kind, distance in kinds.items() for mark, made in as_many.items()
        }
    except TooFewImagesError as error:
        log.warning("evaluate: no marks of the distances: %s", error)
        return {}


def _available(computations: dict[str, Callable[[], dict[str, float]]]) -> dict[str, float]:
    metrics: dict[str, float] = {}
    for name, compute in computations.items():
        try:
            computed = compute()
            wrong = [key for key, value in computed.items() if not math.isfinite(value)]
            if wrong:
                log.warning("evaluate: no %s: with so few or so alike images %s is no number", name, some(wrong))
            metrics |= {key: value for key, value in computed.items() if key not in wrong}
        except TooFewImagesError as error:
            log.warning("evaluate: no %s: %s", name, error)
    return metrics
