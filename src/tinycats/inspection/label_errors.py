"""Images whose label is likely wrong: a linear probe that has not seen them is sure of another class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tinycats.data.processed import sample_rows
from tinycats.runtime.track import track

FOLDS = 5
TRAINED_ON = 16_000  # images at most; the probe then judges all that it has not seen
INVERSE_PENALTY = 0.001  # of the probe, in scikit-learn's terms: strong, for it must not learn wrong labels by heart
LEFT_OUT = 0.05  # of the images when calibrating, the worst: wrong labels would make a good probe look unsure
# Of the likely class against the given one, as the probe sees it: too sure where images are hard, so that the limit is high.
# Measured on planted errors (benchmarks/data_report.py).
MIN_ODDS = 200.0


@dataclass(frozen=True)
class Suspect:
    """An image, by its number, with the class that it likely is of, and how many times likelier that is."""

    image: int
    likely: int
    odds: float


def likely_wrong_labels(features: np.ndarray, labels: np.ndarray) -> tuple[list[Suspect], float] | None:
    """The suspects, the surest first, and the share of labels that the probe agrees with.

    None where a class has fewer images than there are folds, or there is one class only: nothing can be said.
    """
    counts = np.bincount(labels)
    counts = counts[counts > 0]
    if len(counts) < 2 or counts.min() < FOLDS:
        return None
    classes, given = np.unique(labels, return_inverse=True)
    scores = out_of_fold(features, given)
    likely, odds = confident_errors(scores, given)
    found = np.flatnonzero(odds >= MIN_ODDS)
    found = found[np.argsort(-odds[found], kind="stable")]
    agreement = float((scores.argmax(axis=1) == given).mean())
    return [Suspect(int(image), int(classes[likely[image]]), float(odds[image])) for image in found], agreement


def out_of_fold(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Log probabilities [N, K] of every image by a probe that was trained on the other folds, calibrated by temperature."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    scores = np.zeros((len(labels), labels.max() + 1))
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(features, labels)
        for train, held_out in track(folds, "looking for wrong labels", FOLDS):
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=200))
            train = train[sample_rows(labels[train], TRAINED_ON)]
            probe.fit(features[train], labels[train])
            scores[held_out] = probe.predict_log_proba(features[held_out])
    rows = np.arange(len(labels))

    def loss(temperature: float) -> float:
        losses = np.sort(-log_softmax(scores / temperature, axis=1)[rows, labels])
        return float(losses[: round((1 - LEFT_OUT) * len(losses))].mean())

    temperature = minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x
    calibrated: np.ndarray = log_softmax(scores / temperature, axis=1)
    return calibrated


def confident_errors(scores: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The likeliest class of each image, and its odds against the label.

    Each class's probability counts in relation to what its own images have on average, the threshold of confident learning
    (Northcutt, Jiang, Chuang, JAIR 2021), so that a class that is hard to tell is not suspected as a whole.
    """
    usual = np.array([np.exp(scores[labels == label, label]).mean() for label in range(scores.shape[1])])
    relative = scores - np.log(usual)
    likely = relative.argmax(axis=1)
    rows = np.arange(len(labels))
    return likely, np.exp(relative[rows, likely] - relative[rows, labels])
