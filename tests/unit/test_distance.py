"""The distance to the training images, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinycats.classifier.distance import DIMS, SHRINKAGE, ClassDistance, fit_distance


def gaussians(
    channels: int, n: int = 600, classes: int = 3, seed: int = 0
) -> tuple[torch.Tensor, np.ndarray, np.ndarray]:
    """Features whose directions vary unequally around class means, their labels, and those means."""
    rng = np.random.default_rng(seed)
    means = 3 * rng.standard_normal((classes, channels))
    labels = np.arange(n) % classes
    spread = np.linspace(2, 0.1, channels)
    features = means[labels] + spread * rng.standard_normal((n, channels))
    return torch.from_numpy(features).float(), labels, means


def in_numpy(features: np.ndarray, labels: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The root of Mahalanobis' squared distance a dimension to the nearest class, and of what the projection leaves out.

    All of vectors of length 1.
    """
    features, points = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (features, points))
    centre = features.mean(axis=0)
    dims = min(DIMS, features.shape[1])
    _, vectors = np.linalg.eigh(np.cov(features.T))  # ascending
    basis = vectors[:, ::-1][:, :dims]
    projected, at = (features - centre) @ basis, (points - centre) @ basis
    means = np.stack([projected[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    within = projected - means[labels]
    covariance = within.T @ within / len(within)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.eye(dims) * np.trace(covariance) / dims
    offsets = at[:, None] - means
    squares = np.einsum("nkd,de,nke->nk", offsets, np.linalg.inv(covariance), offsets).min(axis=1) / dims
    if dims < features.shape[1]:
        outside = [np.square((x - centre) - (x - centre) @ basis @ basis.T).sum(axis=1) for x in (features, points)]
        squares += outside[1] / outside[0].mean()
    return np.sqrt(squares)


@pytest.mark.parametrize("channels", [5, 64, 100])
def test_it_is_what_numpy_computes(channels: int) -> None:
    features, labels, _ = gaussians(channels)
    points = 4 * torch.randn(40, channels, generator=torch.Generator().manual_seed(1))
    expected = in_numpy(features.numpy().astype(float), labels, points.numpy().astype(float))
    np.testing.assert_allclose(fit_distance(features, labels, 3)(points).numpy(), expected, rtol=2e-3)


@pytest.mark.parametrize("channels", [5, 100])
def test_a_class_mean_is_near_and_the_distance_grows_with_the_offset(channels: int) -> None:
    features, labels, means = gaussians(channels)
    distance = fit_distance(features, labels, 3)
    direction = np.random.default_rng(2).standard_normal(channels)
    for mean in means:
        moved = torch.from_numpy(np.stack([mean + offset * direction for offset in (0, 1, 2, 8, 64)])).float()
        distances = distance(moved).tolist()
        assert distances[0] < 1.5
        assert distances[-1] > 2 * distances[0]
        assert distances == sorted(distances)
    assert 0.5 < distance(features).mean() < 2.5


def test_images_like_them_are_within_and_others_beyond() -> None:
    features, labels, means = gaussians(100)
    distance = fit_distance(features, labels, 3)
    limit = distance(features).quantile(0.95)
    others = torch.randn(50, 100, generator=torch.Generator().manual_seed(1)) * 10
    assert (distance(others) > limit).all()
    outside = torch.from_numpy(means[[0]].repeat(50, axis=0)).float()
    outside += others - others @ distance.projection @ distance.projection.T  # in no direction of the training images
    assert (distance(outside) > limit).all()


def test_the_order_of_the_images_changes_nothing() -> None:
    features, labels, _ = gaussians(100)
    order = np.random.default_rng(3).permutation(len(labels))
    first, second = fit_distance(features, labels, 3), fit_distance(features[order], labels[order], 3)
    points = 4 * torch.randn(40, 100, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first(points), second(points), rtol=1e-4, atol=1e-4)


def test_a_class_without_images_attracts_nothing() -> None:
    features, labels, _ = gaussians(20)
    points = 4 * torch.randn(40, 20, generator=torch.Generator().manual_seed(1))
    of_three = fit_distance(features, labels, 3)(points)
    assert torch.equal(fit_distance(features, labels, 5)(points), of_three)
    torch.testing.assert_close(fit_distance(features, 2 * labels, 5)(points), of_three)


def test_a_thousand_classes() -> None:
    features, labels, means = gaussians(80, n=3000, classes=1000)
    distance = fit_distance(features, labels, 1000)
    assert distance.means.shape == (1000, DIMS)
    assert distance(torch.from_numpy(means).float()).mean() < distance(features).mean()


def test_without_directions_it_is_zero() -> None:
    assert ClassDistance(8, 3, 0)(torch.randn(5, 8)).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("features", "labels"),
    [
        (torch.ones(1, 6), [0]),  # one image
        (torch.ones(9, 6), [0, 1, 2] * 3),  # all alike
        (torch.eye(3, 6), [0, 1, 2]),  # one of each class: nothing varies within one
        (torch.eye(2, 6)[[0, 1] * 4], [0, 1] * 4),  # one of each class, again and again
        (torch.randn(5, 100, generator=torch.Generator().manual_seed(0)), [0, 1, 0, 1, 0]),  # span few directions
    ],
)
def test_few_or_equal_images_give_finite_distances(features: torch.Tensor, labels: list[int]) -> None:
    distance = fit_distance(features, np.array(labels), 3)
    assert all(torch.isfinite(buffer).all() for buffer in distance.buffers())
    points = torch.cat([features, 5 + features, 1000 * features])
    distances = distance(points)
    assert torch.isfinite(distances).all()
    assert (distances[: len(features)] < 3).all()


def test_where_nothing_is_left_out_rounding_does_not_count() -> None:
    """Of as many channels as directions; what is left out is then rounding alone, and so is its root mean square."""
    features, labels, _ = gaussians(8)
    distance = fit_distance(1 + features, labels, 3)
    points = 1 + 4 * torch.randn(200, 8, generator=torch.Generator().manual_seed(1))
    expected = in_numpy((1 + features).numpy().astype(float), labels, points.numpy().astype(float))
    np.testing.assert_allclose(distance(points).numpy(), expected, rtol=2e-3)


def test_nothing_in_it_is_trained() -> None:
    assert not list(ClassDistance(8, 3, 2).parameters())
