"""The plots of an evaluation, as a directory: data for `dvc plots` (JSON) and images (PNG)."""

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
from tinycats.runtime.files import write_rows

MISTAKES_SHOWN = 24
PAIRS_SHOWN = 5  # by each model and kind of distance


def write_classifier_plots(directory: Path, probabilities: np.ndarray, test: Split, classes: list[str]) -> None:
    predicted = probabilities.argmax(axis=1)
    write_rows(
        directory / "confusion.json",
        (
            {"actual": classes[label], "predicted": classes[guess]}
            for label, guess in zip(test.labels, predicted, strict=True)
        ),
    )
    write_rows(
        directory / "per_class.json",
        (
            {"class": classes[label], "accuracy": accuracy, "n": n}
            for label, (accuracy, n) in per_class_accuracy(probabilities, test.labels).items()
        ),
    )
    write_rows(
        directory / "reliability.json",
        (
            {"low": b.low, "high": b.high, "n": b.n, "confidence": b.confidence, "accuracy": b.accuracy}
            for b in calibration_bins(probabilities, test.labels)
            if b.n
        ),
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
    """Write nearest.json (every generated image), copying.json (distances as percentiles) and nearest.png (the nearest pairs).

    images: model -> what it made, with the labels; found: model -> "features" or "pixels" -> the nearest training images of
    these; of_test: those of the test images.
    """
    kinds = list(of_test)
    write_rows(
        directory / "nearest.json",
        (
            {"model": model, "picture": i, "class": classes[label]}
            | {f"{kind}_distance": n.distances[i] for kind, n in by_kind.items()}
            | {f"{kind}_nearest": train.names[n.rows[i]] for kind, n in by_kind.items()}
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
    names = ("percentile", *columns)
    values = zip(percentiles, *columns.values(), strict=True)
    write_rows(directory / "copying.json", (dict(zip(names, row, strict=True)) for row in values))
    groups, captions = [], []
    for model, by_kind in found.items():
        for kind, nearest in by_kind.items():
            for i in closest_pairs(nearest, PAIRS_SHOWN):
                groups.append(np.stack([images[model][i], train.images[nearest.rows[i]]]))
                captions.append(f"{model} | nearest in training\nby {kind}: {nearest.distances[i]:.3g}")
    save_png(captioned_sheet(groups, captions, PAIRS_SHOWN), directory / "nearest.png")
