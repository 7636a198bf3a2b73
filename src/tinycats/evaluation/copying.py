"""Does the generator copy its training pictures? Nearest-neighbour distances, against those of real unseen pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import pairwise_distances_argmin_min

from tinycats.runtime.errors import UserError

_CHUNK = 256  # training pictures held as floats at once


@dataclass(frozen=True)
class Nearest:
    """For each of N pictures: the row of the nearest training picture (int64 [N]) and its distance (float64 [N])."""

    rows: np.ndarray
    distances: np.ndarray


def nearest(queries: np.ndarray, train: np.ndarray) -> Nearest:
    """Nearest training vector of every query, root mean square distance over the D values.

    queries: any numbers [N, ...], train: [M, ...] of the same shape behind the first axis, each read as a vector; a
    memory-mapped `train` is read in chunks. Raises UserError where a set is empty.
    """
    if not len(queries) or not len(train):
        raise UserError("the copying report needs at least one picture in each set")
    flat = queries.reshape(len(queries), -1).astype(np.float64)
    rows = np.zeros(len(flat), dtype=np.int64)
    distances = np.full(len(flat), np.inf)
    for start in range(0, len(train), _CHUNK):
        chunk = train[start : start + _CHUNK].reshape(-1, flat.shape[1]).astype(np.float64)
        chunk_rows, _ = pairwise_distances_argmin_min(flat, chunk)
        # Its distances come from an expanded square, which loses the small ones; a copy must come out as exactly 0.
        chunk_distances = np.linalg.norm(flat - chunk[chunk_rows], axis=1)
        closer = chunk_distances < distances
        rows[closer], distances[closer] = chunk_rows[closer] + start, chunk_distances[closer]
    return Nearest(rows, distances / np.sqrt(flat.shape[1]))


def nearer(one: Nearest, other: Nearest) -> Nearest:
    """Of two searches for the same pictures the nearer find of each.

    The second is for their mirror images: a generator that trains on mirrored pictures may copy those.
    """
    closer = one.distances <= other.distances
    return Nearest(np.where(closer, one.rows, other.rows), np.where(closer, one.distances, other.distances))


def copying_metrics(generated: Nearest, test: Nearest) -> dict[str, float]:
    """Compare the distances of generated pictures to the training set with those of real pictures it never held.

    median_ratio is about 1 where generated pictures are as new as test pictures, and near 0 for copies (absent where
    the median test distance is 0). closer_than_p1_of_test and closer_than_p5_of_test are the shares of generated
    pictures nearer than the 1st and the 5th percentile of the test distances: about 0.01 and 0.05 without copying. In
    pixels, blurred or empty pictures are near to everything too: believe in copying where features say it as well.
    """
    median_generated, median_test = float(np.median(generated.distances)), float(np.median(test.distances))
    metrics = {"median_generated": median_generated, "median_test": median_test}
    if median_test > 0:
        metrics["median_ratio"] = median_generated / median_test
    for p in (1, 5):
        metrics[f"closer_than_p{p}_of_test"] = float(np.mean(generated.distances < np.percentile(test.distances, p)))
    return metrics


def closest_pairs(generated: Nearest, count: int) -> np.ndarray:
    """Indices of the `count` generated pictures nearest to a training picture, the nearest first."""
    return np.argsort(generated.distances, kind="stable")[:count]
