import numpy as np
import pytest

from tinycats.errors import UserError
from tinycats.evaluation.copying import Nearest, closest_pairs, copying_metrics, nearest


def pictures(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)


def test_nearest_equals_a_search_over_all_pairs_across_chunks():
    queries, train = pictures(7, 0), pictures(600, 1)
    result = nearest(queries, train)
    differences = queries[:, None].astype(float) - train[None].astype(float)
    all_pairs = np.sqrt(np.square(differences).mean(axis=(2, 3, 4)))
    assert result.rows.tolist() == all_pairs.argmin(axis=1).tolist()
    assert result.distances == pytest.approx(all_pairs.min(axis=1))
    assert result.rows.max() > 256  # more than one chunk took part


def test_a_copy_is_found_at_distance_exactly_zero():
    features = np.random.default_rng(0).standard_normal((400, 50)).astype(np.float32) + 1000
    result = nearest(features[[3, 399]], features)
    assert result.rows.tolist() == [3, 399]
    assert result.distances.tolist() == [0, 0]


def test_a_generator_that_copies_is_told_from_one_that_does_not():
    rng = np.random.default_rng(0)
    train, test, honest = (rng.standard_normal((300, 16)) for _ in range(3))
    copies = train[:100] + 0.01 * rng.standard_normal((100, 16))
    against_test = nearest(test, train)
    copied = copying_metrics(nearest(copies, train), against_test)
    assert copied["median_ratio"] < 0.05
    assert copied["closer_than_p1_of_test"] == 1
    new = copying_metrics(nearest(honest, train), against_test)
    assert new["median_ratio"] == pytest.approx(1, abs=0.1)
    assert new["closer_than_p1_of_test"] < 0.05


def test_no_ratio_to_a_distance_of_zero():
    zero = Nearest(np.zeros(3, np.int64), np.zeros(3))
    assert "median_ratio" not in copying_metrics(zero, zero)


def test_closest_pairs_come_nearest_first():
    result = Nearest(np.zeros(4, np.int64), np.array([3.0, 1.0, 2.0, 1.0]))
    assert closest_pairs(result, 3).tolist() == [1, 3, 2]


def test_an_empty_set_is_refused():
    with pytest.raises(UserError, match="at least one picture"):
        nearest(pictures(2, 0), pictures(0, 1))
