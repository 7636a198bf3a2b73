"""The plots of an evaluation, as a directory: data for `dvc plots` (CSV) and pictures (PNG)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tinycats.data.processed import Split
from tinycats.evaluation.classification import calibration_bins, per_class_accuracy, worst_mistakes
from tinycats.evaluation.copying import Nearest, closest_pairs
from tinycats.evaluation.figures import captioned_sheet, class_grid, confusion_figure, save_png

GRID_COLUMNS = 8
MISTAKES_SHOWN = 24
PAIRS_SHOWN = 10


def write_classifier_plots(directory: Path, probabilities: np.ndarray, test: Split, classes: list[str]) -> None:
    predicted = probabilities.argmax(axis=1)
    _write_csv(
        directory / "confusion.csv",
        ("actual", "predicted"),
        ((classes[label], classes[guess]) for label, guess in zip(test.labels, predicted, strict=True)),
    )
    _write_csv(
        directory / "per_class.csv",
        ("class", "accuracy", "n"),
        ((classes[label], *values) for label, values in per_class_accuracy(probabilities, test.labels).items()),
    )
    _write_csv(
        directory / "reliability.csv",
        ("low", "high", "n", "confidence", "accuracy"),
        ((b.low, b.high, b.n, b.confidence, b.accuracy) for b in calibration_bins(probabilities, test.labels) if b.n),
    )
    save_png(confusion_figure(test.labels, predicted, classes), directory / "confusion.png")
    mistakes = worst_mistakes(probabilities, test.labels, MISTAKES_SHOWN)
    captions = [
        f"{classes[test.labels[i]]} →\n{classes[predicted[i]]} ({probabilities[i, predicted[i]]:.2f})" for i in mistakes
    ]
    save_png(captioned_sheet([test.images[i : i + 1] for i in mistakes], captions, 6), directory / "mistakes.png")


def write_generator_plots(
    directory: Path,
    pictures: np.ndarray,
    train: np.ndarray,
    by_features: Nearest,
    by_pixels: Nearest,
    classes: list[str],
) -> None:
    rows = pictures.reshape(len(classes), -1, *pictures.shape[1:])[:, :GRID_COLUMNS]  # (K, columns, S, S, 3)
    save_png(class_grid(rows.reshape(-1, *pictures.shape[1:]), classes), directory / "samples.png")
    groups, captions = [], []
    for name, found in (("features", by_features), ("pixels", by_pixels)):
        for i in closest_pairs(found, PAIRS_SHOWN):
            groups.append(np.stack([pictures[i], train[found.rows[i]]]))
            captions.append(f"generated | nearest in training\nby {name}: {found.distances[i]:.3g}")
    save_png(captioned_sheet(groups, captions, 5), directory / "nearest.png")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
