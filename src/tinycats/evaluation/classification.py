"""How good a classifier is, from its probabilities [N, K] and the labels [N]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import f1_score

from tinycats.evaluation.intervals import share
from tinycats.runtime.errors import UserError

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class CalibrationBin:
    """The images whose highest probability lies in (low, high]. Without images, both means are None."""

    low: float
    high: float
    n: int
    confidence: float | None  # mean highest probability
    accuracy: float | None


def classification_metrics(
    probabilities: np.ndarray, labels: np.ndarray, classes: list[str], other: str | None
) -> dict[str, Any]:
    """n, top1, top5, macro_f1, ece, per_class_accuracy and, with an `other`, cat_or_other; top1 and that with intervals.

    probabilities: float [N, K] with rows that sum to 1; labels: integers [N] below K. Top 5 is top K where K < 5.
    Macro F1 and per-class accuracy (recall) are over the classes that have images. cat_or_other is how often
    "is it `other`?" is answered rightly. Raises UserError without images, or where a probability is not finite.
    """
    _check(probabilities, labels, classes)
    predicted = probabilities.argmax(axis=1)
    metrics: dict[str, Any] = {
        "n": len(labels),
        **share("top1", predicted == labels),
        "top5": top_k_accuracy(probabilities, labels, 5),
        "macro_f1": float(f1_score(labels, predicted, labels=np.unique(labels), average="macro", zero_division=0)),
        "ece": expected_calibration_error(calibration_bins(probabilities, labels)),
    }
    if other is not None:
        other_label = classes.index(other)
        metrics |= share("cat_or_other", (predicted == other_label) == (labels == other_label))
    metrics["per_class_accuracy"] = {
        classes[label]: accuracy for label, (accuracy, _) in per_class_accuracy(probabilities, labels).items()
    }
    return metrics


def confidence_metrics(
    probabilities: np.ndarray, unscaled: np.ndarray, labels: np.ndarray, reject_threshold: float | None
) -> dict[str, Any]:
    """ece_unscaled, temperature scaling left out, and how many answers are accepted at the threshold, if there is one.

    n_accepted, coverage (their share) and, where there are any, accepted_precision: the share of them that is right.
    probabilities, unscaled: float [N, K]; labels: integers [N].
    """
    metrics: dict[str, Any] = {"ece_unscaled": expected_calibration_error(calibration_bins(unscaled, labels))}
    if reject_threshold is not None:
        accepted = probabilities.max(axis=1) >= reject_threshold
        metrics |= {"n_accepted": int(accepted.sum()), "coverage": float(accepted.mean())}
        if accepted.any():
            right = probabilities.argmax(axis=1) == labels
            metrics |= share("accepted_precision", right[accepted])
    return metrics


def top_k_accuracy(probabilities: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images whose class is among the k most probable. Ties go to the lower label, as in argmax.

    scikit-learn's function gives ties to the higher label and refuses two classes; torchmetrics' refuses k above K.
    """
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :k]
    return float(np.mean((best == labels[:, None]).any(axis=1)))


def per_class_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> dict[int, tuple[float, int]]:
    """Label -> (share of its images recognised, number of its images), for the labels that have images."""
    right = probabilities.argmax(axis=1) == labels
    return {
        int(label): (float(right[labels == label].mean()), int((labels == label).sum())) for label in np.unique(labels)
    }


def calibration_bins(
    probabilities: np.ndarray, labels: np.ndarray, bins: int = CALIBRATION_BINS
) -> list[CalibrationBin]:
    """Equal-width bins of the highest probability: the reliability diagram of Guo et al. 2017."""
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    position = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)
    result = []
    for index in range(bins):
        inside = position == index
        n = int(inside.sum())
        means = (float(confidence[inside].mean()), float(right[inside].mean())) if n else (None, None)
        result.append(CalibrationBin(float(edges[index]), float(edges[index + 1]), n, *means))
    return result


def expected_calibration_error(bins: list[CalibrationBin]) -> float:
    """Mean |accuracy - confidence| over all images (Guo et al. 2017, equation 3), of the bins that are plotted too."""
    gaps = [b.n * abs(b.accuracy - b.confidence) for b in bins if b.accuracy is not None and b.confidence is not None]
    return sum(gaps) / sum(b.n for b in bins)


def worst_mistakes(probabilities: np.ndarray, labels: np.ndarray, count: int) -> np.ndarray:
    """Indices of at most `count` wrongly classified images, the most confident first."""
    wrong = np.flatnonzero(probabilities.argmax(axis=1) != labels)
    order = np.argsort(-probabilities[wrong].max(axis=1), kind="stable")
    return wrong[order[:count]]


def _check(probabilities: np.ndarray, labels: np.ndarray, classes: list[str]) -> None:
    if probabilities.shape != (len(labels), len(classes)):
        raise ValueError(f"probabilities {probabilities.shape} for {len(labels)} labels of {len(classes)} classes")
    if not len(labels):
        raise UserError("the split to evaluate on has no images; raise preprocess.test_fraction or add images")
    if not np.isfinite(probabilities).all():
        raise UserError(
            "the classifier predicts probabilities that are not finite: its weights are damaged, retrain it"
        )
