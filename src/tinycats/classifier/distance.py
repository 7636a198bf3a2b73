"""How far an image is from the training images: Mahalanobis' distance in the space of the classifier's features."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

DIMS = 64  # in which the training images vary most
SHRINKAGE = 0.1  # of the covariance within classes towards equal variances (Ledoit & Wolf 2004 for the idea)
# Of the training images' variance, counts as variance within classes and outside of the space where there is less: few or
# equal images have none, and a division by what rounding leaves would make every other image endlessly far
LEAST_SHARE = 0.01


class ClassDistance(nn.Module):
    """The distance of features (B, C) to the nearest class, float32 (B,); 0 where `dims` is 0.

    After Lee et al. 2018, in a space of few dimensions, so that it fits into a small file: the features, of length 1 (Mueller &
    Hein 2025), are moved, projected to the directions in which the training images vary most, and divided by how much they vary
    there within a class. What the projection leaves out counts as much (Wang et al. 2022): unlike images lie outside of the
    space.
    """

    centre: Tensor
    projection: Tensor
    whitening: Tensor
    means: Tensor
    residual: Tensor

    def __init__(self, channels: int, classes: int, dims: int) -> None:
        super().__init__()
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("projection", torch.zeros(channels, dims))  # orthonormal columns
        self.register_buffer("whitening", torch.zeros(dims, dims))
        self.register_buffer("means", torch.zeros(classes, dims))  # of the classes, whitened
        self.register_buffer("residual", torch.ones(()))  # root mean square of what the projection leaves out

    def forward(self, features: Tensor) -> Tensor:
        if self.projection.shape[1] == 0:
            return features.new_zeros(features.shape[0])  # len() would fix the batch of an ONNX file
        moved = F.normalize(features) - self.centre
        projected = moved @ self.projection  # (B, D)
        squares = ((projected @ self.whitening)[:, None] - self.means).square().mean(dim=2).amin(dim=1)
        left_out = moved.square().sum(dim=1) - projected.square().sum(dim=1)
        return (squares + left_out.clamp(min=0) / self.residual.square()).sqrt()


def fit_distance(features: Tensor, labels: np.ndarray, num_classes: int) -> ClassDistance:
    """From the features (N, C) of the training images and their labels, int64 [N]."""
    x = F.normalize(features.double()).numpy()
    centre = x.mean(axis=0)
    dims = min(DIMS, len(x) - 1, x.shape[1])
    _, _, directions = np.linalg.svd(x - centre, full_matrices=False)
    projection = directions[:dims].T
    projected = (x - centre) @ projection
    present = np.unique(labels)
    means = np.stack([projected[labels == label].mean(axis=0) for label in present])
    within = projected - means[np.searchsorted(present, labels)]
    covariance = within.T @ within / len(x)
    spread = np.square(x - centre).sum(axis=1).mean() or 1.0
    variance = max(np.trace(covariance), LEAST_SHARE * spread) / max(dims, 1)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * variance * np.eye(dims)
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
    left_out = np.square(x - centre).sum(axis=1) - np.square(projected).sum(axis=1)
    fitted = ClassDistance(x.shape[1], num_classes, dims)
    all_means = np.repeat(means[:1], num_classes, axis=0)  # a class without images has another one's mean
    all_means[present] = means
    values = {
        "centre": centre,
        "projection": projection,
        "whitening": whitening,
        "means": all_means @ whitening,
        "residual": np.sqrt(max(left_out.mean(), LEAST_SHARE * spread)),
    }
    fitted.load_state_dict({name: torch.as_tensor(value, dtype=torch.float32) for name, value in values.items()})
    return fitted
