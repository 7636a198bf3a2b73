"""Are images of other data sets told as unlike the training images? Of a run's classifier, in fp32 and int8.

    python benchmarks/unlike.py RUN NAME=FOLDER_OR_TAR ...

RUN is a clone in which the pipeline has run. Each NAME is an image folder, tar or zip of photos of something else, of which 200
are taken; drawn cats come from the pipeline, and noise, gradients, text and plots from the evaluation. The cost is the share of
the run's own test images that are refused too. Writes benchmarks/results/unlike.json.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
import torch

from machine import machine, write_tables
from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_split
from tinycats.evaluation.inference import predict
from tinycats.evaluation.intervals import share
from tinycats.evaluation.unlike import unlike_images, unlike_metrics
from tinycats.export.onnx_models import OnnxClassifier
from tinycats.preparing.decode import BadImageError, decode, to_square
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import Fit
from tinycats.sources.image_folder import image_folder
from tinycats.sources.synthetic import synthetic_images

CPU = torch.device("cpu")
SHOWN = 200  # images of each data set
DRAWN_PER_CLASS, DRAWN_PX = 16, 64


def photos(path: Path, size: int, fit: Fit) -> np.ndarray:
    """uint8 [N, size, size, 3] of images that can be read, in an order that has nothing to do with their classes."""
    content = {image.name: image.content for image in image_folder(path)}
    chosen = sorted(content, key=lambda name: hashlib.sha256(name.encode()).digest())
    squares: list[np.ndarray] = []
    for name in chosen:
        try:
            squares.append(to_square(decode(content[name]), size, fit))
        except BadImageError:
            continue
        if len(squares) == SHOWN:
            break
    return np.stack(squares)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("others", nargs="*", help="NAME=PATH")
    arguments = parser.parse_args()
    before = machine()
    classifier = Classifier.from_pretrained(arguments.run / "models/classifier")
    int8 = OnnxClassifier(arguments.run / "models/onnx_int8/classifier.onnx")
    size, fit, limit = classifier.config.image_size, classifier.config.fit, classifier.config.distance_limit
    test = load_split(arguments.run / "data/processed/photo", "test", size).images
    drawn = [decode(image.content) for image in synthetic_images(DRAWN_PER_CLASS, 0, DRAWN_PX)]
    others = {name: photos(Path(path), size, fit) for name, path in (other.split("=", 1) for other in arguments.others)}
    others |= {"drawn cats": np.stack([to_square(image, size, fit) for image in drawn]), **unlike_images(size, seed=1)}
    rows = []
    for precision, distances in (
        ("fp32", lambda images: predict(classifier, images, CPU)[1]),
        ("int8", lambda images: int8.predict(images)[1]),
    ):
        of_test, of_others = distances(test), {name: distances(images) for name, images in others.items()}
        figures = unlike_metrics(of_test, of_others, limit)
        rows.append([precision, "test images, refused too", len(test), "", shown(share("told", of_test > limit))])
        rows += [
            [precision, name, len(others[name]), f"{figures[name]['auroc']:.4f}", shown(figures[name])]
            for name in others
        ]
        rows.append([precision, "all others", figures["n_unlike"], f"{figures['auroc']:.4f}", shown(figures)])
    head = ["model", "images", "n", "AUROC", "told as unlike"]
    notes = "Distance to the training classes in the classifier's features; the limit is from validation images."
    write_tables("unlike", before, notes, [{"head": head, "rows": rows}], command="unlike.py RUN NAME=PATH")


def shown(figures: dict[str, float]) -> str:
    return f"{figures['told']:.1%} ({figures['told_low']:.1%} to {figures['told_high']:.1%})"


if __name__ == "__main__":
    with one_line_errors():
        main()
