"""A part of a large split, so that what a figure costs is bounded by the sample and not by the data."""

from __future__ import annotations

import numpy as np

from tinycats.data.pixels import read_rows
from tinycats.data.processed import Split

LEAST_OF_CLASS = 20  # images, or all that there are: rare classes are not lost


def sample_rows(labels: np.ndarray, at_most: int) -> np.ndarray:
    """Rows, int64 and ascending, of integer labels [N]: all where they are no more than `at_most`.

    Else the same share of each class, rounded up to LEAST_OF_CLASS, drawn at random, but always the same for the same labels.
    """
    if len(labels) <= at_most:
        return np.arange(len(labels))
    rng = np.random.default_rng(0)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(len(rows) * at_most // len(labels), min(LEAST_OF_CLASS, len(rows)))
        chosen.append(rng.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen))


def sampled(split: Split, at_most: int) -> Split:
    """The split itself where it has no more than `at_most` images, else a sample of it in memory (see sample_rows)."""
    if len(split.labels) <= at_most:
        return split
    rows = sample_rows(split.labels, at_most)
    return Split(read_rows(split.images, rows), split.labels[rows], [split.names[row] for row in rows])
