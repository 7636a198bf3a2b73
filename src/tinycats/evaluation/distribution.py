"""How far generated images are from real ones, as sets of feature vectors [N, D].

Figures carry the name of the network whose features they are made with (fd_efficientnet_lite2); FID and KID are the same
formulas on Inception features and only those. Everything is computed in float64 and is deterministic.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.distance import cdist

from tinycats.runtime.errors import UserError

_CHUNK = 1024  # rows of a distance matrix held at once


class TooFewImagesError(UserError):
    """A set is too small for the metric; the message says how many images it needs."""


def labels_in_proportion(real: np.ndarray, count: int) -> np.ndarray:
    """`count` labels, int64 and ascending, with the classes as frequent as in `real` (integers [N]).

    A distance between sets of other proportions is there even where the images of each class are perfect. Rounded by the
    largest remainder, equal remainders in favour of the lower label; a class whose share is a small part of one image
    therefore gets none.
    """
    counts, remainders = np.divmod(np.bincount(real) * count, len(real))
    most = np.argsort(-remainders, kind="stable")
    counts[most[: count - counts.sum()]] += 1
    return np.repeat(np.arange(len(counts)), counts)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to two sets of features (Heusel et al. 2017).

    |mu_r - mu_g|^2 + tr(S_r + S_g - 2 (S_r S_g)^(1/2)) with unbiased covariances S. For centred data X with
    S = X'X / (N - 1) = R'R (QR decomposition), tr (S_r S_g)^(1/2) is the sum of the singular values of R_r R_g':
    no matrix square root, no complex numbers, and equal sets give 0 to rounding.

    real: float [N, D], generated: float [M, D]. It is biased upwards, the more the fewer images there are for D features:
    compare it at equal N and M alone, and with its floor, the distance between two sets of real images as large. Raises
    TooFewImagesError for fewer than 2 images in a set.
    """
    _check(real, generated, 2, "a Frechet distance")
    mean_real, root_real = _mean_and_root(real)
    mean_generated, root_generated = _mean_and_root(generated)
    overlap = np.linalg.svd(root_real @ root_generated.T, compute_uv=False).sum()
    spread = np.square(root_real).sum() + np.square(root_generated).sum()
    # Never below 0 but by rounding.
    return max(0.0, float(np.square(mean_real - mean_generated).sum() + spread - 2 * overlap))


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Unbiased squared MMD with the kernel (x.y / D + 1)^3 over all pairs (Binkowski et al. 2018).

    real: float [N, D], generated: float [M, D]. About 0, and as often below as above it, for two sets of one
    distribution. Raises TooFewImagesError for fewer than 2 images in a set.
    """
    return float(kernel_distances(real, generated, np.ones((1, len(real))), np.ones((1, len(generated))))[0])


def kernel_distances(
    real: np.ndarray, generated: np.ndarray, real_counts: np.ndarray, generated_counts: np.ndarray
) -> np.ndarray:
    """kernel_distance of B pairs of sets, float64 [B], in which each image occurs as often as the counts say.

    real_counts: [B, N], generated_counts: [B, M]. Pairs of an image with its own copy are left out. Raises as
    kernel_distance does.
    """
    _check(real, generated, 2, "a kernel distance")
    pairs = real_counts.sum(axis=1) * generated_counts.sum(axis=1)
    between = _kernel_sums(real, generated, real_counts, generated_counts) / pairs
    within = _kernel_means_of_pairs(real, real_counts) + _kernel_means_of_pairs(generated, generated_counts)
    return within - 2 * between


def inside_manifold(points: np.ndarray, manifold: np.ndarray, neighbours: int) -> np.ndarray:
    """Which of the points lie inside the manifold of the other set: bool [M].

    The manifold of a set is the union of balls around its points, each reaching to its k-th nearest other point
    (Kynkaanniemi et al. 2019, equations 1 and 2), k = `neighbours`. The share of generated images inside that of the real ones
    is the precision, that of real images inside that of the generated ones the recall. points: float [M, D], manifold:
    float [N, D]. Raises TooFewImagesError unless N and M are at least k + 1.
    """
    _check(manifold, points, neighbours + 1, f"precision and recall with {neighbours} neighbours")
    inside = np.zeros(len(points), dtype=bool)
    for row in range(0, len(manifold), _CHUNK):
        chunk = manifold[row : row + _CHUNK]
        # The nearest of all, at index 0, is the point itself.
        radii = np.partition(cdist(chunk, manifold), neighbours, axis=1)[:, neighbours]
        inside |= (cdist(chunk, points) <= radii[:, None]).any(axis=0)
    return inside


def mean_pairwise_distances(features: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean Euclidean distance of two different images of B sets, float64 [B], in which images occur as often as the counts say.

    features: float [N, D]; counts: integers [B, N]. Pairs of an image with its own copy are left out. Over that of real images
    it is the diversity: 1 where generated images differ as much as real ones, 0 where all are one. Raises TooFewImagesError for
    a set without two different images.
    """
    sums, pairs = np.zeros(len(counts)), np.square(counts.sum(axis=1)) - np.square(counts).sum(axis=1)
    if len(features) < 2 or not pairs.all():
        raise TooFewImagesError(f"a diversity needs at least 2 different images in each set, got {len(features)}")
    for row in range(0, len(features), _CHUNK):
        distances = cdist(features[row : row + _CHUNK], features)  # [rows, N]
        sums += (counts[:, row : row + _CHUNK] * (counts @ distances.T)).sum(axis=1)
    return sums / pairs


def diversity(real: np.ndarray, generated: np.ndarray) -> float:
    """mean_pairwise_distances of the generated images over that of the real ones. Errors as there."""
    of_generated, of_real = (
        float(mean_pairwise_distances(features, np.ones((1, len(features)), dtype=int))[0])
        for features in (generated, real)
    )
    if of_real == 0:
        raise TooFewImagesError("a diversity needs real images that differ, and all of them have the same features")
    return of_generated / of_real


def _mean_and_root(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [D] and a root R [min(N, D), D] of the covariance R'R."""
    mean = features.mean(axis=0, dtype=np.float64)
    root = (features - mean) / np.sqrt(len(features) - 1)
    return mean, root if len(root) <= root.shape[1] else np.linalg.qr(root).R


def _kernel(products: np.ndarray, dimensions: int) -> np.ndarray:
    return (products / dimensions + 1) ** 3


def _kernel_sums(a: np.ndarray, b: np.ndarray, a_counts: np.ndarray, b_counts: np.ndarray) -> np.ndarray:
    a, b = a.astype(np.float64), b.astype(np.float64)
    sums = np.zeros(len(a_counts))
    for row in range(0, len(a), _CHUNK):
        kernels = _kernel(a[row : row + _CHUNK] @ b.T, a.shape[1])  # [rows, M]
        sums += (a_counts[:, row : row + _CHUNK] * (b_counts @ kernels.T)).sum(axis=1)
    return sums


def _kernel_means_of_pairs(a: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean kernel of two different images of one set: leaving out the diagonal makes the estimate unbiased."""
    same = np.square(counts)
    diagonal = same @ _kernel(np.square(a.astype(np.float64)).sum(axis=1), a.shape[1])
    return (_kernel_sums(a, a, counts, counts) - diagonal) / (np.square(counts.sum(axis=1)) - same.sum(axis=1))


def _check(real: np.ndarray, generated: np.ndarray, needed: int, what: str) -> None:
    if real.ndim != 2 or generated.ndim != 2 or real.shape[1] != generated.shape[1]:
        raise ValueError(f"features must be [N, D] and [M, D], not {real.shape} and {generated.shape}")
    if min(len(real), len(generated)) < needed:
        raise TooFewImagesError(
            f"{what} needs at least {needed} images in each set, got {len(real)} real and {len(generated)} generated"
        )
    if not (np.isfinite(real).all() and np.isfinite(generated).all()):
        raise UserError("the features of the images are not finite: the generator is damaged")
