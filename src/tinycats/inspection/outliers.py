"""Images that resemble no other of their class: neither photos of it, perhaps, nor wrongly labelled ones of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
MIN_IMAGES = 2 * NEIGHBOURS  # of a class; with fewer nothing is usual
MIN_DEVIATIONS = 3.5  # from what is usual in the class
NORMAL = 1.4826  # standard deviation of a normal distribution, in median absolute deviations
CHUNK = 1024


@dataclass(frozen=True)
class Outlier:
    """An image, by its number, and how many deviations further off it is than its class."""

    image: int
    deviations: float


def outliers(features: np.ndarray, labels: np.ndarray) -> list[Outlier]:
    """The images that are far from the nearest of their class, the farthest first.

    Far by cosine similarity, compared with the other images of the class: median and median absolute deviation.
    """
    units = features - features.mean(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True).clip(min=1e-6)
    found = []
    for label in np.unique(labels):
        images = np.flatnonzero(labels == label)
        if len(images) < MIN_IMAGES:
            continue
        distance = _distance_to_neighbours(units[images])
        spread = NORMAL * np.median(np.abs(distance - np.median(distance)))
        deviations = (distance - np.median(distance)) / max(spread, 1e-3)
        found += [
            Outlier(int(images[number]), float(deviations[number]))
            for number in np.flatnonzero(deviations >= MIN_DEVIATIONS)
        ]
    return sorted(found, key=lambda outlier: -outlier.deviations)


def _distance_to_neighbours(units: np.ndarray) -> np.ndarray:
    """Mean cosine distance of each vector to its nearest ones."""
    distances = []
    for start in range(0, len(units), CHUNK):
        similarity = units[start : start + CHUNK] @ units.T
        similarity[np.arange(len(similarity)), np.arange(len(similarity)) + start] = -2
        distances.append(1 - np.partition(similarity, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1))
    return np.concatenate(distances)
