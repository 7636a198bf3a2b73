"""Does the generator copy its training images? Nearest-neighbour distances, against those of real unseen images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tinycats.evaluation import intervals
from tinycats.runtime.errors import UserError
from tinycats.runtime.track import progress

CHUNK_ROWS, CHUNK_VALUES = 1024, 1 << 23  # of each set, held as floats at once
PAIR_VALUES = 1 << 20  # of the pairs that are compared exactly at once
TERMS = 1024  # products that are summed in float32


@dataclass(frozen=True)
class Nearest:
    """For each of N images: the row of the nearest training image (int64 [N]) and its distance (float64 [N])."""

    rows: np.ndarray
    distances: np.ndarray


def nearest(queries: np.ndarray, train: np.ndarray) -> Nearest:
    """Nearest training vector of every query, the first of equally near ones; root mean square distance over the D values.

    queries: any numbers [N, ...], train: [M, ...] of the same shape behind the first axis, each read as a vector, in
    chunks, so that memory stays flat. The result is that of a search through all pairs in float64, and a copy is at
    exactly 0; but only pairs that may be the nearest by their distance in float32 are compared so. Raises UserError where
    a set is empty.
    """
    if not len(queries) or not len(train):
        raise UserError("the copying report needs at least one image in each set")
    size = int(np.prod(train.shape[1:]))
    chunk_rows = max(1, min(CHUNK_ROWS, CHUNK_VALUES // size))
    centre = train[:chunk_rows].mean(axis=0, dtype=np.float64).ravel()
    rows, squares = np.zeros(len(queries), dtype=np.int64), np.full(len(queries), np.inf)
    with progress("looking for the nearest training images", len(queries)) as advance:
        for chunk in _slices(len(queries), chunk_rows):
            of_queries = queries[chunk].reshape(-1, size)
            x = _centred(of_queries, centre)
            for train_chunk in _slices(len(train), chunk_rows):
                of_train = train[train_chunk].reshape(-1, size)
                least, most = _squared_distances(x, _centred(of_train, centre))
                bound = np.minimum(squares[chunk], most.min(axis=1))
                pairs = np.argwhere(least <= bound[:, None])  # those of a query in the order of the training vectors
                for part in _slices(len(pairs), max(1, PAIR_VALUES // size)):
                    i, j = pairs[part].T
                    exact = np.square(np.subtract(of_queries[i], of_train[j], dtype=np.float64)).sum(axis=1)
                    for query, row, square in zip(i + chunk.start, j + train_chunk.start, exact, strict=True):
                        if square < squares[query]:
                            rows[query], squares[query] = row, square
                advance(len(x) * len(of_train) / len(train))
    return Nearest(rows, np.sqrt(squares / size))


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count, size)]


def _centred(vectors: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Vectors moved by `centre`, float32: the shorter they are, the less is lost by rounding."""
    return np.subtract(vectors, centre, out=np.empty(vectors.shape, np.float32), casting="same_kind")


def _squared_distances(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What |x - y|^2 is at least and at most for all pairs of float32 [Q, D] and [T, D], as |x|^2 + |y|^2 - 2 xy.

    With u, half of float32's epsilon, having rounded x and y changes their distance by at most u (|x| + |y|), and a sum
    of n products in float32 is off by at most n u |x| |y| (1 + n u); so the square is off by at most
    (n / 2 + 2) u (|x| + |y|)^2, with some room added.
    """
    squares_x, squares_y = (np.einsum("nd,nd->n", v, v, dtype=np.float64) for v in (x, y))
    products = np.zeros((len(x), len(y)))
    for terms in _slices(x.shape[1], TERMS):
        products += x[:, terms] @ y[:, terms].T
    estimate = squares_x[:, None] + squares_y - 2 * products
    n, u = min(TERMS, x.shape[1]), np.finfo(np.float32).eps / 2
    error = (n + 4) * u * np.square(np.sqrt(squares_x)[:, None] + np.sqrt(squares_y))
    return estimate - error, estimate + error


def nearer(one: Nearest, other: Nearest) -> Nearest:
    """Of two searches for the same images the nearer find of each.

    The second is for their mirror images: a generator that trains on mirrored images may copy those.
    """
    closer = one.distances <= other.distances
    return Nearest(np.where(closer, one.rows, other.rows), np.where(closer, one.distances, other.distances))


def copying_metrics(generated: Nearest, test: Nearest, resamples: int, seed: int) -> dict[str, float]:
    """Compare the distances of generated images to the training set with those of real images it never held.

    median_ratio is about 1 where generated images are as new as test images, and near 0 for copies (absent where
    the median test distance is 0). closer_than_p1_of_test and closer_than_p5_of_test are the shares of generated
    images nearer than the 1st and the 5th percentile of the test distances: about 0.01 and 0.05 without copying. In
    pixels, blurred or empty images are near to everything too: believe in copying where features say it as well. All but the
    medians with intervals.
    """
    median_generated, median_test = float(np.median(generated.distances)), float(np.median(test.distances))
    metrics = {"median_generated": median_generated, "median_test": median_test}
    if median_test > 0:
        metrics |= intervals.median_ratio("median_ratio", generated.distances, test.distances, resamples, seed)
    for p in (1, 5):
        closer = generated.distances < np.percentile(test.distances, p)
        metrics |= intervals.share(f"closer_than_p{p}_of_test", closer)
    return metrics


def closest_pairs(generated: Nearest, count: int) -> np.ndarray:
    """Indices of the `count` generated images nearest to a training image, the nearest first."""
    return np.argsort(generated.distances, kind="stable")[:count]
