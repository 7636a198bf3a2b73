"""The confusion matrix as a figure."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from tinycats.figures.fonts import FONT_PATH, font_of, shown_names
from tinycats.runtime.errors import first_line

MAX_CLASSES_WITH_NUMBERS = 20
MAX_CLASSES_WITH_NAMES = 120  # for a thousand names the image would take tens of gigabytes

log = logging.getLogger(__name__)


def confusion_figure(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Figure:
    """The confusion matrix, each row (true class) in shares of its images; with numbers up to 20 classes, names up to 120."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(classes)), normalize="true")
    numbers = len(classes) <= MAX_CLASSES_WITH_NUMBERS
    side = max(5.0, (0.55 if numbers else 0.28) * min(len(classes), MAX_CLASSES_WITH_NAMES) + 2.5)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    names = shown_names(classes)
    display = ConfusionMatrixDisplay(matrix, display_labels=range(len(names))).plot(
        ax=axes, include_values=numbers, values_format=".2f", xticks_rotation="vertical", cmap="Blues",
        im_kw={"vmin": 0, "vmax": 1}, text_kw={"fontsize": 8},
    )  # fmt: skip
    for axis in (axes.xaxis, axes.yaxis):
        for label, name in zip(axis.set_ticklabels(names), names, strict=True):
            label.set(parse_math=False, font=font_of(name) or FONT_PATH, size=10)  # a name is no formula
    for text, share in zip(display.text_.flat, matrix.flat, strict=True) if numbers else ():
        text.set_visible(share > 0)
    if len(classes) > MAX_CLASSES_WITH_NAMES:
        axes.set(xticks=[], yticks=[])
    axes.set(xlabel="predicted", ylabel="true", title=f"{len(labels)} images, rows sum to 1")
    return figure


def to_image(figure: Figure) -> Image.Image:
    """The figure as an image; a white one, with a warning, where matplotlib cannot draw it: no figure is worth a training run."""
    buffer = io.BytesIO()
    try:
        figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})  # equal content is equal bytes
    except Exception as error:  # what it raises depends on the text, the fonts and its version
        log.warning("a figure cannot be drawn and stays white: %s", first_line(error))
        return Image.new("RGB", (100, 100), "white")
    return Image.open(buffer)
