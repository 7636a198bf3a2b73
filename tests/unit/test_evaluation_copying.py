import tracemalloc

import numpy as np
import pytest

from tinycats.evaluation import copying
from tinycats.evaluation.copying import Nearest, closest_pairs, copying_metrics, nearer, nearest
from tinycats.runtime.errors import UserError


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


def all_pairs(queries: np.ndarray, train: np.ndarray) -> Nearest:
    """The nearest by comparing every pair in float64, the first of equally near ones."""
    x, y = (vectors.reshape(len(vectors), -1).astype(np.float64) for vectors in (queries, train))
    squares = np.stack([np.square(x - row).sum(axis=1) for row in y], axis=1)
    return Nearest(squares.argmin(axis=1), np.sqrt(squares.min(axis=1) / x.shape[1]))


def nearly_equal_images() -> tuple[np.ndarray, np.ndarray]:
    """White images of large norm, a few values apart: in float32, |x|^2 + |y|^2 - 2 xy is off by more than that."""
    rng = np.random.default_rng(0)
    train = np.full((50, 64, 64, 3), 255, np.uint8)
    for i in range(40):
        train[i].reshape(-1)[rng.integers(0, train[i].size, 1 + i % 3)] -= rng.integers(1, 4, dtype=np.uint8)
    queries = np.concatenate([train[5:45:4], train[:10]])
    queries[:, 0, 0] -= 1
    return np.concatenate([queries, train[[7, 33, 49]]]), train


def features_with_ties() -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers, far from 0: many training vectors are equally near, and some occur twice."""
    rng = np.random.default_rng(0)
    train = (rng.integers(0, 3, (900, 8)) + 10_000).astype(np.float32)
    return (rng.integers(0, 3, (300, 8)) + 10_000).astype(np.float32), np.concatenate([train, train[:100]])


def features_a_hair_apart() -> tuple[np.ndarray, np.ndarray]:
    """Around each query ten training vectors, equally far away but for the rounding of their values."""
    rng = np.random.default_rng(0)
    queries = rng.standard_normal((60, 1, 128))
    away = rng.standard_normal((60, 1, 128)) * rng.choice([-1, 1], (60, 10, 128))
    return queries[:, 0].astype(np.float32), (queries + away).reshape(600, 128).astype(np.float32)


@pytest.mark.parametrize("sets", [nearly_equal_images, features_with_ties, features_a_hair_apart])
@pytest.mark.parametrize("chunk_rows", [7, 1024])
def test_nearest_is_what_all_pairs_in_float64_give(monkeypatch, sets, chunk_rows):
    queries, train = sets()
    monkeypatch.setattr(copying, "CHUNK_ROWS", chunk_rows)
    result, expected = nearest(queries, train), all_pairs(queries, train)
    assert result.rows.tolist() == expected.rows.tolist()
    assert result.distances.tolist() == expected.distances.tolist()


def test_those_sets_are_beyond_float32():
    """Else the test above would say nothing about the exact comparison."""
    for queries, train in (nearly_equal_images(), features_a_hair_apart()):
        x, y = (vectors.reshape(len(vectors), -1).astype(np.float32) for vectors in (queries, train))
        squares = np.square(x).sum(axis=1)[:, None] + np.square(y).sum(axis=1) - 2 * x @ y.T
        assert (squares.argmin(axis=1) != all_pairs(queries, train).rows).mean() > 0.2


def test_memory_does_not_grow_with_the_sets(monkeypatch):
    """As many floats at once as two chunks have; here the queries alone would be 39 MB in float64."""
    monkeypatch.setattr(copying, "CHUNK_VALUES", 1 << 19)
    queries, train = (np.random.default_rng(i).integers(0, 256, (1600, 32, 32, 3), dtype=np.uint8) for i in range(2))
    peaks = []
    for n in (200, 1600):
        tracemalloc.start()
        nearest(queries[:n, :, ::-1], train[:n])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 1_000_000
    assert peaks[1] < 20_000_000


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
    copied = copying_metrics(nearest(copies, train), against_test, 200, 0)
    assert copied["median_ratio"] < 0.05
    assert copied["closer_than_p1_of_test"] == copied["closer_than_p5_of_test"] == 1
    new = copying_metrics(nearest(honest, train), against_test, 200, 0)
    assert new["median_ratio"] == pytest.approx(1, abs=0.1)
    assert new["closer_than_p1_of_test"] < 0.05
    assert new["closer_than_p1_of_test"] < new["closer_than_p5_of_test"] < 0.12
    same = copying_metrics(against_test, against_test, 200, 0)
    assert same["median_ratio"] == 1
    assert 0.8 < same["median_ratio_low"] < 1 < same["median_ratio_high"] < 1.25
    assert same["closer_than_p5_of_test_low"] < 0.05 < same["closer_than_p5_of_test_high"]
    assert (same["closer_than_p1_of_test"], same["closer_than_p5_of_test"]) == (3 / 300, 15 / 300)


def test_permutation_changes_nothing_and_a_shift_gives_more():
    rng = np.random.default_rng(0)
    train, generated = rng.standard_normal((300, 16)), rng.standard_normal((90, 16))
    first = nearest(generated, train)
    order, train_order = rng.permutation(90), rng.permutation(300)
    shuffled = nearest(generated[order], train[train_order])
    assert shuffled.distances == pytest.approx(first.distances[order])
    assert train_order[shuffled.rows].tolist() == first.rows[order].tolist()
    medians = [np.median(nearest(generated + shift, train).distances) for shift in (0, 1, 2)]
    assert medians == sorted(medians)
    assert medians[2] > 2 * medians[0]


def test_the_nearer_of_a_picture_and_its_mirror_image_counts():
    one = Nearest(np.array([1, 2, 3]), np.array([0.5, 0.0, 2.0]))
    other = Nearest(np.array([4, 5, 6]), np.array([0.4, 1.0, 2.0]))
    both = nearer(one, other)
    assert both.rows.tolist() == [4, 2, 3]
    assert both.distances.tolist() == [0.4, 0.0, 2.0]


def test_no_ratio_to_a_distance_of_zero():
    zero = Nearest(np.zeros(3, np.int64), np.zeros(3))
    assert "median_ratio" not in copying_metrics(zero, zero, 200, 0)


def test_closest_pairs_come_nearest_first():
    result = Nearest(np.zeros(4, np.int64), np.array([3.0, 1.0, 2.0, 1.0]))
    assert closest_pairs(result, 3).tolist() == [1, 3, 2]


def test_an_empty_set_is_refused():
    with pytest.raises(UserError, match="at least one image"):
        nearest(pictures(2, 0), pictures(0, 1))
