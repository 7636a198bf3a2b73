"""What is done otherwise where images are many: here the limits are low, and the results those of few images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.unit.test_inspection import ARCH, SETTINGS, SIZE, altered, clusters, raw_cats, square
from tinycats.backbones.features import FrozenFeatures, features_of
from tinycats.classifier import calibration
from tinycats.classifier.distance import fit_distance
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.data.pixels import read_rows
from tinycats.data.processed import LEAST_OF_CLASS, Split, sample_rows, sampled
from tinycats.inspection import features as inspected
from tinycats.inspection import label_errors, near_duplicates, outliers
from tinycats.inspection.features import comparable_features
from tinycats.preparing import heads
from tinycats.preparing.preprocess import preprocess
from tinycats.sources.synthetic import render


@pytest.fixture(scope="module")
def with_copies() -> tuple[np.ndarray, set[tuple[int, int]]]:
    """120 cats that look alike and altered copies of every third one; the pairs."""
    rng = np.random.default_rng(0)
    cats = np.stack(
        [render(name, i, 5, SIZE) for name in ("Birman", "Ragdoll", "Siamese", "Persian") for i in range(30)]
    )
    of = np.arange(0, 120, 3)
    copies = np.stack([square(altered(cats[row], rng, mirrored=row % 2 == 1)) for row in of])
    return np.concatenate([cats, copies]), {(int(row), 120 + number) for number, row in enumerate(of)}


def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "ALL_PAIRS", 50)
    monkeypatch.setattr(near_duplicates, "GROUP", 32)


def test_in_groups_the_same_copies_are_found(
    with_copies: tuple[np.ndarray, set[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, planted = with_copies
    small_groups(monkeypatch)
    useless = np.random.default_rng(0).normal(size=(len(images), 8)).astype(np.float32)
    found = {(pair.first, pair.second) for pair in near_duplicates.near_duplicates(images, useless)}
    assert len(found & planted) >= 0.95 * len(planted)
    assert len(found & planted) >= 0.99 * len(found)


def test_groups_are_small_and_each_grouping_has_every_image_once(monkeypatch: pytest.MonkeyPatch) -> None:
    small_groups(monkeypatch)
    vectors, others = torch.randn(2, 333, 5, generator=torch.Generator().manual_seed(0))
    groups = list(near_duplicates._groups(vectors.__getitem__, others.__getitem__, torch.arange(333)))
    assert max(len(candidates) for _, candidates in groups) <= 32
    for side in (0, 1):
        numbers = torch.cat([group[side] for group in groups])
        assert numbers.bincount().tolist() == [near_duplicates.GROUPINGS] * 333


def test_images_that_are_all_the_same_are_grouped_too(monkeypatch: pytest.MonkeyPatch) -> None:
    small_groups(monkeypatch)
    flat = np.full((90, SIZE, SIZE, 3), 200, np.uint8)
    assert near_duplicates.near_duplicates(flat, np.ones((90, 4), np.float32)) == []


def test_in_parts_pairs_are_judged_as_all_at_once(
    with_copies: tuple[np.ndarray, set[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, planted = with_copies
    pairs = np.array([*sorted(planted), *((row, row + 1) for row in range(60))])
    at_once = near_duplicates.likeness(images, pairs)
    seen: list[int] = []
    thumbnails = near_duplicates._thumbnails

    def counted(images: np.ndarray, size: int, rows: np.ndarray) -> torch.Tensor:
        seen.append(len(rows))
        return thumbnails(images, size, rows)

    monkeypatch.setattr(near_duplicates, "PAIRS_AT_ONCE", 7)
    monkeypatch.setattr(near_duplicates, "_thumbnails", counted)
    for part, whole in zip(near_duplicates.likeness(images, pairs), at_once, strict=True):
        np.testing.assert_allclose(part, whole, atol=1e-6)
    assert max(seen) <= 14


def test_preprocess_finds_the_same_copies_where_all_limits_are_low(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw_cats(tmp_path)
    for module, limits in {
        near_duplicates: {"ALL_PAIRS": 10, "GROUP": 14, "PAIRS_AT_ONCE": 5},
        inspected: {"IN_FULL": 10, "DIMS": 12, "SAMPLE": 20, "AT_ONCE": 7},
        label_errors: {"TRAINED_ON": 16},
        outliers: {"COMPARED_WITH": 6},
    }.items():
        for name, value in limits.items():
            monkeypatch.setattr(module, name, value)
    metrics = preprocess(tmp_path / "raw", tmp_path / "processed", [32, SIZE], SETTINGS, 0, tmp_path)
    dropped = [file["name"] for file in metrics["quarantined_files"] if file["reason"] == "near_duplicate"]
    assert dropped == ["Bombay/0_copy_of_train.png", "Bombay/copy_of_test.png", "Persian/copy_of_val.png"]
    assert (tmp_path / "data/outliers.png").exists()


def test_features_in_few_dimensions_tell_the_same_neighbours(
    with_copies: tuple[np.ndarray, set[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    images, _ = with_copies
    network, rows = FrozenFeatures(ARCH, ""), np.arange(20, 160)
    in_full = comparable_features(network, images, rows)
    np.testing.assert_array_equal(in_full, features_of(network, images)[rows])
    for name, value in {"IN_FULL": 100, "DIMS": 32, "SAMPLE": 80, "AT_ONCE": 50}.items():
        monkeypatch.setattr(inspected, name, value)
    few = comparable_features(network, images, rows)
    assert (few.shape, few.dtype) == ((140, 32), np.float32)
    centred = in_full - in_full.mean(axis=0)
    similarity, in_few = (np.corrcoef(vectors) for vectors in (centred, few))
    assert np.corrcoef(similarity.ravel(), in_few.ravel())[0, 1] > 0.9


def test_a_probe_trained_on_a_sample_judges_every_image(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clusters(np.random.default_rng(0), each=200)
    given = labels.copy()
    swapped = np.arange(7, 1000, 50)
    given[swapped] = (labels[swapped] + 1) % 5
    monkeypatch.setattr(label_errors, "TRAINED_ON", 400)
    trained_on: list[int] = []
    fit = LogisticRegression.fit

    def counted(self: LogisticRegression, features: np.ndarray, labels: np.ndarray) -> LogisticRegression:
        trained_on.append(len(labels))
        return fit(self, features, labels)

    monkeypatch.setattr(LogisticRegression, "fit", counted)
    judged = label_errors.likely_wrong_labels(features, given)
    assert judged is not None
    assert trained_on == [400] * label_errors.FOLDS
    found = {suspect.image for suspect in judged[0]}
    assert len(found & set(swapped.tolist())) >= 0.7 * len(swapped)
    assert len(found & set(swapped.tolist())) >= 0.6 * len(found)


def test_an_outlier_among_a_sample_of_its_class_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    features, labels = clusters(np.random.default_rng(2))
    features[7] = np.random.default_rng(3).normal(scale=2, size=32)
    monkeypatch.setattr(outliers, "COMPARED_WITH", 30)
    compared: list[tuple[int, int]] = []
    distances = outliers._distance_to_neighbours

    def counted(units: np.ndarray, images: np.ndarray, others: np.ndarray) -> np.ndarray:
        compared.append((len(images), len(others)))
        return distances(units, images, others)

    monkeypatch.setattr(outliers, "_distance_to_neighbours", counted)
    assert outliers.outliers(features, labels)[0].image == 7
    assert compared == [(60, 30)] * 5


def test_no_image_is_its_own_neighbour() -> None:
    units = np.eye(12, dtype=np.float32)
    np.testing.assert_allclose(outliers._distance_to_neighbours(units, np.arange(12), np.arange(12)[::-1]), 1)


def test_a_sample_has_the_classes_in_their_proportions_and_no_class_is_lost() -> None:
    labels = np.repeat([0, 1, 2, 3], [6000, 3000, 990, 10])
    rows = sample_rows(labels, 1000)
    assert np.bincount(labels[rows]).tolist() == [600, 300, 99, 10]
    assert (np.diff(rows) > 0).all()
    assert rows.tolist() == sample_rows(labels, 1000).tolist()
    assert 200 < (rows[:600] < 3000).sum() < 400  # drawn, not the first ones
    assert np.bincount(labels[sample_rows(labels, 100)]).tolist() == [60, 30, LEAST_OF_CLASS, 10]
    assert sample_rows(labels, 10_000).tolist() == list(range(10_000))


def test_a_sampled_split_keeps_images_labels_and_names_together() -> None:
    labels = np.arange(90) % 3
    images = np.arange(90, dtype=np.uint8)[:, None, None, None].repeat(3, axis=3)
    split = Split(images, labels, [str(row) for row in range(90)])
    assert sampled(split, 90) is split
    some = sampled(split, 66)
    assert len(some.labels) == 66
    assert [str(value) for value in some.images[:, 0, 0, 0]] == some.names
    assert [int(name) % 3 for name in some.names] == some.labels.tolist()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the resident memory as Linux tells it")
def test_reading_a_large_file_takes_no_memory(tmp_path: Path) -> None:
    np.save(tmp_path / "images.npy", np.ones((2000, 100, 100, 3), np.uint8))  # 60 MB
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    before = psutil.Process().memory_info().rss
    for start in range(0, 2000, 50):
        rows = slice(start, start + 50) if start % 100 else np.arange(start, start + 50)
        assert read_rows(images, rows).sum() == 50 * 30_000
        assert read_rows(images[start : start + 50], slice(0, 1)).shape == (1, 100, 100, 3)
    assert psutil.Process().memory_info().rss - before < 15e6
    assert images[1999, 99, 99, 2] == 1  # it can still be read


def test_rows_of_an_array_in_memory_are_a_copy() -> None:
    images = np.arange(12).reshape(4, 3)
    copy = read_rows(images, slice(1, 3))
    copy[:] = 0
    assert images[1].tolist() == [3, 4, 5]


def test_the_distance_is_fitted_on_a_sample_of_many_training_images(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=["a", "b"], arch="test_efficientnet", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3, other=None,
        flip_at_test=False,
    )  # fmt: skip
    model = Classifier(config).eval()
    images = np.random.default_rng(0).integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    split = Split(images, np.arange(120) % 2, [""] * 120)
    monkeypatch.setattr(calibration, "TRAINING_IMAGES", 60)
    calibration.calibrate(model, split, split)
    rows = sample_rows(split.labels, 60)
    with torch.no_grad():
        features = model.views(torch.from_numpy(images))[1].mean(dim=(2, 3))
        expected = fit_distance(features[rows], split.labels[rows], 2)(features)
    torch.testing.assert_close(model.distance(features), expected, rtol=1e-3, atol=1e-3)


def test_a_probe_for_heads_trained_on_a_sample_judges_every_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    features = np.concatenate([rng.normal(1, 1, (400, 8)), rng.normal(-1, 1, (40, 8))])
    others = rng.normal(-1, 1, (300, 8))
    weights = np.concatenate([np.full(200, 5.0), np.full(200, 0.2), np.full(40, 0.3)])
    photos = np.concatenate([np.arange(400), np.arange(200, 240)])
    monkeypatch.setattr(heads, "LEARNT_FROM", 60)
    monkeypatch.setattr(heads, "AT_ONCE", 7)
    read: list[int] = []

    def counted(array: np.ndarray, rows: np.ndarray) -> np.ndarray:
        read.append(len(rows))
        return read_rows(array, rows)

    monkeypatch.setattr(heads, "read_rows", counted)
    scores = heads.head_scores(features, weights, photos, others, np.arange(300))
    assert scores is not None
    assert read[:2] == [60, 60]
    assert max(read[2:]) == 7
    assert (scores[:400] > 0.5).mean() > 0.9
    assert (scores[400:] < 0.5).mean() > 0.9
    assert (scores > 0).all()
