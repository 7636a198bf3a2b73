"""The plots of an evaluation, as a directory: data for `dvc plots` (CSV) and images (PNG)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tinycats.data.processed import Split
from tinycats.evaluation.classification import calibration_bins, per_class_accuracy, worst_mistakes
from tinycats.evaluation.copying import Nearest, closest_pairs
from tinycats.figures.confusion import confusion_figure, to_image
from tinycats.figures.sheets import captioned_sheet, save_png

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
    save_png(to_image(confusion_figure(test.labels, predicted, classes)), directory / "confusion.png")
    mistakes = worst_mistakes(probabilities, test.labels, MISTAKES_SHOWN)
    captions = [
        f"{classes[test.labels[i]]} →\n{classes[predicted[i]]} ({probabilities[i, predicted[i]]:.2f})" for i in mistakes
    ]
    save_png(captioned_sheet([test.images[i : i + 1] for i in mistakes], captions, 6), directory / "mistakes.png")


def write_copying_plots(
    directory: Path,
    images: np.ndarray,
    labels: np.ndarray,
    train: Split,
    found: dict[str, dict[str, Nearest]],
    classes: list[str],
) -> None:
    """Write nearest.csv (every generated image), copying.csv (the distances as percentiles) and nearest.png.

    found: {"features", "pixels"} -> {"generated", "test"} -> the nearest training images of those images.
    """
    made = {kind: by_set["generated"] for kind, by_set in found.items()}
    _write_csv(
        directory / "nearest.csv",
        ("picture", "class", *(f"{kind}_{what}" for kind in made for what in ("distance", "nearest"))),
        (
            (i, classes[label], *(v for n in made.values() for v in (n.distances[i], train.names[n.rows[i]])))
            for i, label in enumerate(labels)
        ),
    )
    percentiles = np.arange(101)
    columns = {
        f"{name}_{kind}": np.percentile(by_set[name].distances, percentiles)
        for kind, by_set in found.items()
        for name in ("generated", "test")
    }
    _write_csv(directory / "copying.csv", ("percentile", *columns), zip(percentiles, *columns.values(), strict=True))
    groups, captions = [], []
    for kind, nearest in made.items():
        for i in closest_pairs(nearest, PAIRS_SHOWN):
            groups.append(np.stack([images[i], train.images[nearest.rows[i]]]))
            captions.append(f"generated | nearest in training\nby {kind}: {nearest.distances[i]:.3g}")
    save_png(captioned_sheet(groups, captions, 5), directory / "nearest.png")


def _write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
