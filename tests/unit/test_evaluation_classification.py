import tinycats.runtime.vision  # noqa: F401  # torchmetrics imports torchvision, which needs this first

# isort: split
import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from tinycats.evaluation.classification import (
    calibration_bins,
    classification_metrics,
    confidence_metrics,
    expected_calibration_error,
    per_class_accuracy,
    top_k_accuracy,
    worst_mistakes,
)
from tinycats.runtime.errors import UserError

# By hand: argmax is 0, 1, 1, 2, 2; right but for the third (0 taken for 1) and the last (1 taken for 2).
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.6, 0.1], [0.1, 0.2, 0.7], [0.05, 0.0, 0.95]])
LABELS = np.array([0, 1, 0, 2, 1])
CLASSES = ["a", "b", "other"]


def test_metrics_of_a_case_worked_by_hand():
    metrics = classification_metrics(PROBABILITIES, LABELS, CLASSES, "other")
    assert metrics["n"] == 5
    assert metrics["top1"] == pytest.approx(3 / 5)
    assert metrics["top1_low"] < 3 / 5 < metrics["top1_high"]
    assert metrics["top5"] == 1
    # F1 of a: P 1, R 1/2 -> 2/3; of b: P 1/2, R 1/2 -> 1/2; of other: P 1/2, R 1 -> 2/3.
    assert metrics["macro_f1"] == pytest.approx((2 / 3 + 1 / 2 + 2 / 3) / 3)
    assert metrics["cat_or_other"] == pytest.approx(4 / 5)  # taking one cat for another is right here
    assert metrics["per_class_accuracy"] == {"a": 0.5, "b": 0.5, "other": 1.0}


def test_top_k_counts_the_k_best_and_no_ties():
    assert top_k_accuracy(PROBABILITIES, LABELS, 1) == pytest.approx(3 / 5)
    assert top_k_accuracy(PROBABILITIES, LABELS, 2) == pytest.approx(4 / 5)
    assert top_k_accuracy(PROBABILITIES, LABELS, 5) == 1
    undecided = np.full((6, 6), 1 / 6)
    assert top_k_accuracy(undecided, np.arange(6), 1) == pytest.approx(1 / 6)
    assert top_k_accuracy(undecided, np.arange(6), 5) == pytest.approx(5 / 6)


def test_no_cat_or_other_without_an_other_class():
    assert "cat_or_other" not in classification_metrics(PROBABILITIES, LABELS, CLASSES, None)


def test_classes_without_pictures_are_absent_not_zero():
    metrics = classification_metrics(PROBABILITIES[[0, 3]], LABELS[[0, 3]], CLASSES, "other")
    assert metrics["per_class_accuracy"] == {"a": 1.0, "other": 1.0}
    assert metrics["macro_f1"] == 1
    assert per_class_accuracy(PROBABILITIES, LABELS) == {0: (0.5, 2), 1: (0.5, 2), 2: (1.0, 1)}


def test_calibration_error_of_cases_with_a_known_answer():
    confident = np.tile([0.9, 0.1], (10, 1))
    assert expected_calibration_error(calibration_bins(confident, np.zeros(10, int))) == pytest.approx(0.1)
    assert expected_calibration_error(calibration_bins(confident, np.ones(10, int))) == pytest.approx(0.9)
    assert expected_calibration_error(calibration_bins(confident, np.array([0] * 9 + [1]))) == pytest.approx(0)


def test_calibration_error_equals_that_of_torchmetrics():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(7) * 0.3, 500), rng.integers(0, 7, 500)
    bins = calibration_bins(probabilities, labels)
    theirs = multiclass_calibration_error(
        torch.from_numpy(probabilities), torch.from_numpy(labels), num_classes=7, n_bins=15
    )
    assert expected_calibration_error(bins) == pytest.approx(float(theirs), abs=1e-6)
    assert sum(b.n for b in bins) == 500
    assert all((b.confidence is None) == (b.n == 0) for b in bins)
    assert all(b.low < b.confidence <= b.high for b in bins if b.confidence is not None)


def test_a_probability_of_one_falls_into_the_last_bin():
    bins = calibration_bins(np.array([[1.0, 0.0]]), np.array([0]))
    assert [b.n for b in bins] == [0] * 14 + [1]


def test_permutation_changes_nothing():
    order = [3, 0, 4, 1, 2]
    expected = classification_metrics(PROBABILITIES, LABELS, CLASSES, "other")
    permuted = classification_metrics(PROBABILITIES[order], LABELS[order], CLASSES, "other")
    per_class = permuted.pop("per_class_accuracy")
    assert per_class == expected.pop("per_class_accuracy")
    assert permuted == pytest.approx(expected)


def test_what_is_accepted_at_a_threshold():
    # Confidences 0.8, 0.5, 0.6, 0.7, 0.95; the third and the last are wrong.
    metrics = confidence_metrics(PROBABILITIES, PROBABILITIES, LABELS, 0.7)
    assert metrics["ece_unscaled"] == classification_metrics(PROBABILITIES, LABELS, CLASSES, None)["ece"]
    assert (metrics["n_accepted"], metrics["coverage"]) == (3, 3 / 5)
    assert metrics["accepted_precision"] == pytest.approx(2 / 3)
    everything = confidence_metrics(PROBABILITIES, PROBABILITIES, LABELS, 0.0)
    assert (everything["coverage"], everything["accepted_precision"]) == (1, 3 / 5)
    nothing = confidence_metrics(PROBABILITIES, PROBABILITIES, LABELS, 0.99)
    assert nothing["n_accepted"] == nothing["coverage"] == 0
    assert "accepted_precision" not in nothing
    assert list(confidence_metrics(PROBABILITIES, PROBABILITIES, LABELS, None)) == ["ece_unscaled"]


def test_worst_mistakes_are_wrong_and_the_most_confident_first():
    assert worst_mistakes(PROBABILITIES, LABELS, 10).tolist() == [4, 2]
    assert worst_mistakes(PROBABILITIES, LABELS, 1).tolist() == [4]
    assert worst_mistakes(PROBABILITIES[:2], LABELS[:2], 3).tolist() == []


def test_no_pictures_or_broken_probabilities_are_refused():
    with pytest.raises(UserError, match="no images"):
        classification_metrics(np.zeros((0, 3)), np.zeros(0, int), CLASSES, None)
    with pytest.raises(UserError, match="not finite"):
        classification_metrics(np.full((5, 3), np.nan), LABELS, CLASSES, None)
