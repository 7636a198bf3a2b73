"""The plots of an evaluation, as a directory: data for `dvc plots` (CSV) and images (PNG)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tinycats.data.processed import Split
from tinycats.evaluation.classification import calibration_bins, per_class_accuracy, worst_mistakes
from tinycats.evaluation.copying import Nearest, closest_pairs
from tinycats.figures.confusion import confusion_figure, to_image
from tinycats.figures.fonts import shown_names
from tinycats.figures.sheets import captioned_sheet, save_png
from tinycats.figures.tables import write_csv

MISTAKES_SHOWN = 24
PAIRS_SHOWN = 5  # by each model and kind of distance


def write_classifier_plots(directory: Path, probabilities: np.ndarray, test: Split, classes: list[str]) -> None:
    predicted = probabilities.argmax(axis=1)
    write_csv(
        directory / "confusion.csv",
        ("actual", "predicted"),
        ((classes[label], classes[guess]) for label, guess in zip(test.labels, predicted, strict=True)),
    )
    write_csv(
        directory / "per_class.csv",
        ("class", "accuracy", "n"),
        ((classes[label], *values) for label, values in per_class_accuracy(probabilities, test.labels).items()),
    )
    write_csv(
        directory / "reliability.csv",
        ("low", "high", "n", "confidence", "accuracy"),
        ((b.low, b.high, b.n, b.confidence, b.accuracy) for b in calibration_bins(probabilities, test.labels) if b.n),
    )
    save_png(to_image(confusion_figure(test.labels, predicted, classes)), directory / "confusion.png")
    mistakes = worst_mistakes(probabilities, test.labels, MISTAKES_SHOWN)
    shown = shown_names(classes)
    captions = [
        f"{shown[test.labels[i]]} →\n{shown[predicted[i]]} ({probabilities[i, predicted[i]]:.2f})" for i in mistakes
    ]
    save_png(captioned_sheet([test.images[i : i + 1] for i in mistakes], captions, 6), directory / "mistakes.png")


def write_copying_plots(
    directory: Path,
    images: Mapping[str, np.ndarray],
    labels: np.ndarray,
    train: Split,
    found: Mapping[str, dict[str, Nearest]],
    of_test: Mapping[str, Nearest],
    classes: list[str],
) -> None:
    """Write nearest.csv (every generated image), copying.csv (the distances as percentiles) and nearest.png (the nearest pairs).

    images: model -> what it made, with the labels; found: model -> "features" or "pixels" -> the nearest training images of
    these; of_test: those of the test images.
    """
    kinds = list(of_test)
    write_csv(
        directory / "nearest.csv",
        ("model", "picture", "class", *(f"{kind}_{what}" for kind in kinds for what in ("distance", "nearest"))),
        (
            (model, i, classes[label], *(v for n in by_kind.values() for v in (n.distances[i], train.names[n.rows[i]])))
            for model, by_kind in found.items()
            for i, label in enumerate(labels)
        ),
    )
    percentiles = np.arange(101)
    columns = {
        f"{name}_{kind}": np.percentile(by_kind[kind].distances, percentiles)
        for kind in kinds
        for name, by_kind in {**found, "test": of_test}.items()
    }
    write_csv(directory / "copying.csv", ("percentile", *columns), zip(percentiles, *columns.values(), strict=True))
    groups, captions = [], []
    for model, by_kind in found.items():
        for kind, nearest in by_kind.items():
            for i in closest_pairs(nearest, PAIRS_SHOWN):
                groups.append(np.stack([images[model][i], train.images[nearest.rows[i]]]))
                captions.append(f"{model} | nearest in training\nby {kind}: {nearest.distances[i]:.3g}")
    save_png(captioned_sheet(groups, captions, PAIRS_SHOWN), directory / "nearest.png")
