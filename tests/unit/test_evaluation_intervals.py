"""95% intervals hold the truth about 95 times in a hundred, and stand around their figure."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
import pytest

from tinycats.evaluation import intervals
from tinycats.evaluation.distribution import TooFewImagesError, frechet_distance, kernel_distance

N, M, FEATURES, ROUNDS, RESAMPLES = 80, 70, 3, 100, 60


def sets(rng: np.random.Generator, n: int = N, m: int = M) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((n, FEATURES)), 1.3 * rng.standard_normal((m, FEATURES)) + 0.5


@pytest.mark.parametrize(("interval", "distance"), [
    (intervals.frechet, frechet_distance),
    (intervals.kernel, kernel_distance),
])  # fmt: skip
def test_a_distance_holds_what_as_many_pictures_give_on_average(
    interval: Callable[..., dict[str, float]], distance: Callable[..., float]
) -> None:
    rng = np.random.default_rng(0)
    truth = np.mean([distance(*sets(rng)) for _ in range(1000)])
    found = [interval("d", *sets(rng), RESAMPLES, seed) for seed in range(ROUNDS)]
    assert all(f["d_low"] < f["d"] < f["d_high"] for f in found)
    covered = np.mean([f["d_low"] <= truth <= f["d_high"] for f in found])
    assert 0.87 <= covered <= 1  # 0.95, and what 100 rounds may miss of it by chance
    assert np.mean([f["d_high"] - f["d_low"] for f in found]) < 2 * truth  # and not by holding everything


@pytest.mark.parametrize("probability", [0.5, 0.9, 0.99])
def test_a_share_holds_the_truth(probability: float) -> None:
    rng = np.random.default_rng(0)
    found = [intervals.share("s", rng.random(200) < probability) for _ in range(1000)]
    covered = np.mean([f["s_low"] <= probability <= f["s_high"] for f in found])
    assert 0.92 <= covered <= 0.99


def test_a_share_of_all_says_how_sure_that_is() -> None:
    few, many = (intervals.share("s", np.ones(n, dtype=bool)) for n in (10, 1000))
    assert few["s"] == few["s_high"] == many["s"] == 1
    assert few["s_low"] == pytest.approx(1 / (1 + 1.96**2 / 10), abs=1e-4)  # Wilson 1927, with no miss
    assert many["s_low"] > 0.995


def test_the_bias_of_a_frechet_distance_of_many_features_is_not_added_again() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((100, 30)), rng.standard_normal((90, 30)) + 0.1
    bare = frechet_distance(x[rng.integers(0, 100, 100)], y[rng.integers(0, 90, 90)])
    found = intervals.frechet("fd", x, y, 60, 0)
    assert found["fd_low"] < found["fd"] < found["fd_high"] < bare


def test_the_seed_decides_and_more_pictures_make_it_narrower() -> None:
    rng = np.random.default_rng(0)
    small, large = sets(rng), sets(rng, 10 * N, 10 * M)
    for interval in (intervals.frechet, intervals.kernel):
        assert interval("d", *small, 60, 1) == interval("d", *small, 60, 1)
        assert interval("d", *small, 60, 1) != interval("d", *small, 60, 2)
        widths = [found["d_high"] - found["d_low"] for found in (interval("d", *x, 60, 1) for x in (small, large))]
        assert widths[1] < widths[0] / 2


def test_too_few_pictures_are_refused_with_the_number_needed() -> None:
    with pytest.raises(TooFewImagesError, match="at least 2 images in each set, got 9 real and 1 generated"):
        intervals.frechet("fd", np.zeros((9, 3)), np.zeros((1, 3)), 60, 0)
    with pytest.raises(TooFewImagesError, match="at least 2 images"):
        intervals.kernel("kd", np.zeros((9, 3)), np.zeros((1, 3)), 60, 0)


@pytest.mark.parametrize(("n", "m"), [(3, 40), (40, 3)])
def test_no_kernel_interval_of_resamples_that_have_no_distance(n: int, m: int) -> None:
    """Sixty times 3 of 3 images with replacement: some of them are three times the same image."""
    rng = np.random.default_rng(0)
    with pytest.raises(
        TooFewImagesError, match=f"a resample of {n} real and {m} generated images holds only copies of one"
    ):
        intervals.kernel("kd", *sets(rng, n, m), 60, 0)
    found = intervals.kernel("kd", *sets(rng, 8, 8), 60, 0)
    assert np.isfinite(list(found.values())).all()


def test_diversity_of_known_sets() -> None:
    x = np.random.default_rng(0).standard_normal((60, 5))
    one = intervals.diversity("d", x, x, 60, 0)
    assert one["d"] == 1
    assert one["d_low"] < 1 < one["d_high"]
    assert intervals.diversity("d", x, 2 * x + 1, 60, 0)["d"] == pytest.approx(2)
    nothing = intervals.diversity("d", x, np.ones((40, 5)), 60, 0)
    assert nothing == {"d": 0, "d_low": 0, "d_high": 0}
    assert intervals.diversity("d", x, x[:30], 60, 1) == intervals.diversity("d", x, x[:30], 60, 1)


def test_a_diversity_holds_the_truth() -> None:
    rng = np.random.default_rng(0)
    found = [intervals.diversity("d", *sets(rng), RESAMPLES, seed) for seed in range(ROUNDS)]
    covered = np.mean([f["d_low"] <= 1.3 <= f["d_high"] for f in found])  # both are normal, with 1.3 times the spread
    assert 0.85 <= covered <= 1
    assert np.mean([f["d_high"] - f["d_low"] for f in found]) < 0.6


@pytest.mark.parametrize(("n", "m"), [(1, 40), (40, 1), (3, 40), (40, 3)])
def test_no_diversity_of_sets_or_resamples_without_two_images(n: int, m: int) -> None:
    with pytest.raises(TooFewImagesError, match="a diversity needs at least 2 different images in each set"):
        intervals.diversity("d", *sets(np.random.default_rng(0), n, m), 60, 0)


INTERVALS: dict[str, Callable[[np.ndarray, np.ndarray, int], dict[str, float]]] = {
    "share": lambda x, y, seed: intervals.share("v", x[:, 0] > 0),
    "frechet": lambda x, y, seed: intervals.frechet("v", x, y, 60, seed),
    "kernel": lambda x, y, seed: intervals.kernel("v", x, y, 60, seed),
    "diversity": lambda x, y, seed: intervals.diversity("v", x, y, 60, seed),
    "median_ratio": lambda x, y, seed: intervals.median_ratio("v", np.abs(x[:, 0]), np.abs(y[:, 0]) + 1e-9, 60, seed),
}


@pytest.mark.parametrize("name", INTERVALS)
@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.filterwarnings("error")
def test_few_or_equal_images_give_finite_numbers_or_none(name: str, alike: bool) -> None:
    for n in range(1, 6):
        for m in (1, 2, 5, 40):
            for seed in range(10):
                x, y = (np.ones((k, FEATURES)) if alike else values for k, values in zip(
                    (n, m), sets(np.random.default_rng(seed), n, m), strict=True
                ))  # fmt: skip
                found: dict[str, float] = {}
                with suppress(TooFewImagesError):
                    found = INTERVALS[name](x, y, seed)
                assert np.isfinite(list(found.values())).all(), (n, m, seed)


def test_a_median_whose_resamples_are_zero_has_no_interval() -> None:
    others = np.array([0, 0, 1.0, 1.0, 1.0])
    assert intervals.median_ratio("v", others, others, 200, 0) == {"v": 1.0}
