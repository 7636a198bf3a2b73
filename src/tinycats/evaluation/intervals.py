"""95% intervals, as numbers next to a figure: `top1`, `top1_low`, `top1_high`. They speak only of chance among images.

Another training run, seed or dataset differs by more than they say.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.stats import binomtest
from threadpoolctl import threadpool_limits

from tinycats.evaluation import distribution
from tinycats.evaluation.distribution import (
    TooFewImagesError,
    frechet_distance,
    kernel_distance,
    kernel_distances,
    mean_pairwise_distances,
)
from tinycats.runtime.track import track

LEVEL = 0.95


def share(name: str, hits: np.ndarray) -> dict[str, float]:
    """The share of True in hits (bool [N], N at least 1), with Wilson's interval.

    The bootstrap gives the same on some hundreds of images, but none at all where every image is a hit.
    """
    interval = binomtest(int(hits.sum()), len(hits)).proportion_ci(LEVEL, method="wilson")
    return {name: float(hits.mean()), f"{name}_low": float(interval.low), f"{name}_high": float(interval.high)}


def frechet(name: str, real: np.ndarray, generated: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """frechet_distance, with the bootstrap's percentiles of both sets drawn again, moved to have the figure as their mean.

    A Frechet distance is biased upwards, the more the fewer images and the more features; a resampled set has fewer
    different images than its set and shows that bias again, so that the bare percentiles would lie above it. The interval is
    therefore one for what as many other images would give on average: it compares runs of equal numbers of images, says
    nothing of the distance between infinitely many, and is a little too wide where images are few. Errors as of
    frechet_distance.
    """
    counts = _counts(len(real), resamples, seed), _counts(len(generated), resamples, seed + 1)

    def resampled(of_real: np.ndarray, of_generated: np.ndarray) -> float:
        return frechet_distance(real.repeat(of_real, axis=0), generated.repeat(of_generated, axis=0))

    # One thread a distance: the matrices are small, and threads of BLAS that wait for each other on a busy machine take 200
    # times as long
    with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        value = frechet_distance(real, generated)
        again = list(track(pool.map(resampled, *counts), "interval of the Fréchet distance", resamples))
    return _with_percentiles(name, value, np.array(again) - np.mean(again) + value)


def kernel(name: str, real: np.ndarray, generated: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """kernel_distance, with the bootstrap's percentiles of both sets drawn again.

    Unbiased as the distance itself: pairs of an image with its own copy are left out. Errors as of kernel_distance; with
    about five images or fewer, TooFewImagesError also where the draw of a resample is one and the same image.
    """
    value = kernel_distance(real, generated)
    counts = (_counts(len(real), resamples, seed), _counts(len(generated), resamples, seed + 1))
    if any(np.count_nonzero(drawn, axis=1).min() < 2 for drawn in counts):
        raise TooFewImagesError(
            f"a resample of {len(real)} real and {len(generated)} generated images holds only copies of one image"
        )
    return _with_percentiles(name, value, kernel_distances(real, generated, *counts))


def diversity(name: str, real: np.ndarray, generated: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The diversity, with the bootstrap's percentiles of both sets drawn again.

    Errors as of the diversity, and TooFewImagesError also where the draw of a resample is one and the same image.
    """
    value = distribution.diversity(real, generated)
    of_generated, of_real = (
        mean_pairwise_distances(features, _counts(len(features), resamples, seed_of_set))
        for features, seed_of_set in ((generated, seed + 1), (real, seed))
    )
    if not of_real.all():
        raise TooFewImagesError(f"a resample of {len(real)} real images holds only images of the same features")
    return _with_percentiles(name, value, of_generated / of_real)


def median_ratio(name: str, values: np.ndarray, others: np.ndarray, resamples: int, seed: int) -> dict[str, float]:
    """The median of `values` over that of `others`, which is not 0, with percentiles where no resample has a median of 0."""
    rng = np.random.default_rng(seed)
    medians = [np.median(rng.choice(drawn, (resamples, len(drawn))), axis=1) for drawn in (values, others)]
    value = {name: float(np.median(values) / np.median(others))}
    if not medians[1].all():  # a resample's median is 0 where not that of all is
        return value
    return value | _with_percentiles(name, value[name], medians[0] / medians[1])


def _counts(n: int, resamples: int, seed: int) -> np.ndarray:
    """How often each of n images is drawn, int64 [resamples, n], when n are drawn with replacement."""
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples)


def _with_percentiles(name: str, value: float, values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {name: value, f"{name}_low": float(low), f"{name}_high": float(high)}
