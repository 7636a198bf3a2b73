"""The features by which images are compared: in full, or of many images in few dimensions, so that they fit into memory."""

from __future__ import annotations

import numpy as np

from tinycats.backbones.features import FrozenFeatures, features_of

IN_FULL = 20_000  # images
DIMS = 128  # beyond that: those in which the features of a sample vary most
SAMPLE = 10_000  # images
AT_ONCE = 4096  # images


def comparable_features(network: FrozenFeatures, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Features, float32 [N, C], of these N rows of uint8 [M, S, S, 3]; of more than IN_FULL images [N, DIMS]."""
    if len(rows) <= IN_FULL:
        return features_of(network, images)[rows]
    from sklearn.decomposition import PCA

    of_sample = features_of(network, images, rows=np.random.default_rng(0).permutation(rows)[:SAMPLE])
    principal = PCA(min(DIMS, of_sample.shape[1]), svd_solver="covariance_eigh").fit(of_sample)
    parts = np.split(rows, range(AT_ONCE, len(rows), AT_ONCE))
    return np.concatenate(
        [principal.transform(features_of(network, images, rows=part)).astype(np.float32) for part in parts]
    )
