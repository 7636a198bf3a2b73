"""Images that resemble no other of their class: neither photos of it, perhaps, nor wrongly labelled ones of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEIGHBOURS = 5
COMPARED_WITH = 4096  # images of a class at most, drawn at random
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

    Far by cosine similarity, compared with the other images of the class: median and median absolute deviation. The nearest of a
    large class are those of a sample.
    """
    units = features - features.mean(axis=0)
    units /= np.linalg.norm(units, axis=1, keepdims=True).clip(min=1e-6)
    found = []
    for label in np.unique(labels):
        images = np.flatnonzero(labels == label)
        if len(images) < MIN_IMAGES:
            continue
        distance = _distance_to_neighbours(units, images, _some(images))
        spread = NORMAL * np.median(np.abs(distance - np.median(distance)))
        deviations = (distance - np.median(distance)) / max(spread, 1e-3)
        found += [
            Outlier(int(images[number]), float(deviations[number]))
            for number in np.flatnonzero(deviations >= MIN_DEVIATIONS)
        ]
    return sorted(found, key=lambda outlier: -outlier.deviations)


def _some(images: np.ndarray) -> np.ndarray:
    return images if len(images) <= COMPARED_WITH else np.random.default_rng(0).permutation(images)[:COMPARED_WITH]


def _distance_to_neighbours(units: np.ndarray, images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Mean cosine distance of the vector of each image to the nearest ones of `others`, itself left out."""
    distances, of_others = [], units[others].T
    for part in np.split(images, range(CHUNK, len(images), CHUNK)):
        similarity = units[part] @ of_others
        similarity[part[:, None] == others] = -2
        distances.append(1 - np.partition(similarity, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:].mean(axis=1))
    return np.concatenate(distances)
