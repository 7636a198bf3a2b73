"""Which candidates for a face are one: a linear probe on frozen features, trained on the data itself.

Nobody has labelled heads, but the surest candidates of the detector are heads, and squares from elsewhere in the same photos, or
badly framed ones, are not. The probe that tells these apart tells the rest too, each by a probe that has not seen its photo.
"""

from __future__ import annotations

import hashlib

import numpy as np

from tinycats.data.pixels import read_rows
from tinycats.preparing.cat_faces import Square
from tinycats.runtime.track import track

FOLDS = 5
SURE_SHARE = 0.5  # of the photos' best candidates, by the detector's weight: taken as heads for training
MIN_SURE = 20  # with fewer the probe has nothing to learn from
LEARNT_FROM = 20_000  # of either kind at most
AT_ONCE = 1 << 16  # candidates that are judged
INVERSE_PENALTY = 0.003  # of the probe, in scikit-learn's terms
TRIES = 20
AWAY = 0.15  # overlap with any candidate, as intersection over union, that a square from elsewhere may have


def not_head(name: str, width: int, height: int, candidates: list[Square]) -> Square:
    """A square of a photo that is no well-framed head, chosen by the photo's name.

    In half of the photos, where there is room, one from elsewhere; else one that is too near or too far, or beside the best.
    """
    random = np.random.default_rng(np.frombuffer(hashlib.sha256(name.encode()).digest(), np.uint32))
    best = candidates[0]
    for _ in range(TRIES if random.random() < 0.5 else 0):
        side = best.side * random.uniform(0.6, 1.2)
        square = Square(random.uniform(0, max(width - side, 1)), random.uniform(0, max(height - side, 1)), side)
        if all(square.overlap(candidate) < AWAY for candidate in candidates):
            return square
    scale, angle = random.choice([0.45, 1.0, 1.0, 2.2]), random.uniform(0, 2 * np.pi)
    away = 0.5 * best.side if scale == 1 else 0.1 * best.side
    side = scale * best.side
    middle = best.left + best.side / 2 + away * np.cos(angle), best.top + best.side / 2 + away * np.sin(angle)
    return Square(float(middle[0] - side / 2), float(middle[1] - side / 2), float(side))


def head_scores(
    features: np.ndarray, weights: np.ndarray, photos: np.ndarray, others: np.ndarray, photos_of_others: np.ndarray
) -> np.ndarray | None:
    """The probability that each of N candidates is a head, float64 [N].

    `features` [N, C] and `others` [M, C], memory-mapped perhaps: of the candidates and of squares that are no heads;
    `weights` [N]: the detector's; `photos` [N] and `photos_of_others` [M]: numbers of their photos. The probe learns from
    LEARNT_FROM of either kind at most. None where there are too few sure ones to learn from.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    best = best_of_photos(weights, photos)
    sure = np.flatnonzero(best & (weights >= np.quantile(weights[best], 1 - SURE_SHARE)))
    if len(sure) < MIN_SURE or len(others) < MIN_SURE:
        return None
    sure, not_heads = (_some(rows) for rows in (sure, np.arange(len(others))))
    x = np.concatenate([read_rows(features, sure), read_rows(others, not_heads)])
    y = np.repeat([1, 0], [len(sure), len(not_heads)])
    groups = np.concatenate([photos[sure], photos_of_others[not_heads]])
    scores = np.zeros(len(features))
    folds = GroupKFold(FOLDS).split(x, y, groups)
    for seen, _ in track(folds, "telling faces from the rest", FOLDS):
        probe = make_pipeline(
            StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=500, class_weight="balanced")
        )
        probe.fit(x[seen], y[seen])
        unseen = np.flatnonzero(~np.isin(photos, groups[seen]))
        for part in np.split(unseen, range(AT_ONCE, len(unseen), AT_ONCE)):
            scores[part] = probe.predict_proba(read_rows(features, part))[:, 1]
    return scores


def _some(rows: np.ndarray) -> np.ndarray:
    return rows if len(rows) <= LEARNT_FROM else np.sort(np.random.default_rng(0).permutation(rows)[:LEARNT_FROM])


def best_of_photos(scores: np.ndarray, photos: np.ndarray) -> np.ndarray:
    """Whether each candidate is the one of its photo with the highest score; of equal ones the first."""
    order = np.lexsort((np.arange(len(scores)), -scores, photos))
    first = np.ones(len(order), dtype=bool)
    first[1:] = photos[order][1:] != photos[order][:-1]
    best = np.zeros(len(scores), dtype=bool)
    best[order[first]] = True
    return best
