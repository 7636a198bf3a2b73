"""The processed data set: images of one size as arrays that training maps into memory.

`{split}_{size}.npy` is uint8 N x S x S x 3 (RGB) for every split and size; `index.csv` has the columns name, label
(integer), split and row; `classes.json` is {"classes": [names], "other": the class that is not a cat, or null, "fit": how
the images became squares (tinycats.preparing.decode.to_square)}.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinycats.data.pixels import read_rows
from tinycats.data.raw import SPLITS
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import read_json, write_json
from tinycats.runtime.params import Fit

WRITTEN_AT_ONCE = 64  # images
LEAST_OF_CLASS = 20  # images, or all that there are: rare classes are not lost


def write_processed(
    directory: Path,
    pixels: Mapping[int, np.ndarray],
    images: Sequence[tuple[str, int, str, int]],
    classes: Sequence[str],
    other: str | None,
    fit: Fit,
) -> None:
    """Write the data set into an existing directory.

    `pixels` holds uint8 [M, S, S, 3] by size S; `images` are (name, label, split, row of `pixels`). The rows of a
    split are in the order of `images`.
    """
    index = []
    for split in SPLITS:
        of_split = [image for image in images if image[2] == split]
        index += [(name, label, split, row) for row, (name, label, _, _) in enumerate(of_split)]
        for size, source in pixels.items():
            _write_npy(directory / f"{split}_{size}.npy", source, [image[3] for image in of_split])
    with (directory / "index.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "label", "split", "row"])
        writer.writerows(index)
    write_json(directory / "classes.json", {"classes": list(classes), "other": other, "fit": fit})


def _write_npy(path: Path, source: np.ndarray, rows: Sequence[int]) -> None:
    """Write source[rows] a few at a time, so that memory stays flat."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *source.shape[1:])}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(rows), WRITTEN_AT_ONCE):
            file.write(read_rows(source, np.array(rows[start : start + WRITTEN_AT_ONCE])).tobytes())


@dataclass(frozen=True)
class Split:
    """`images` uint8 [N, S, S, 3], memory-mapped and read-only; `labels` int64 [N]; `names` of the raw images."""

    images: np.ndarray
    labels: np.ndarray
    names: list[str]


def load_split(directory: Path, split: str, size: int) -> Split:
    """Load one split (train, val or test) at one size in pixels. Raises UserError if it does not exist."""
    path = directory / f"{split}_{size}.npy"
    if not path.exists():
        found = ", ".join(sorted(file.name for file in directory.glob("*.npy"))) or "no .npy file"
        raise UserError(f"{path}: not found ({directory} has {found}); run the preprocess stage first")
    images = np.load(path, mmap_mode="r")
    with (directory / "index.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    rows.sort(key=lambda row: int(row["row"]))
    if len(rows) != len(images):
        raise UserError(f"{path}: has {len(images)} images, index.csv {len(rows)}; run the preprocess stage again")
    labels = np.array([int(row["label"]) for row in rows], dtype=np.int64)
    return Split(images, labels, [row["name"] for row in rows])


def load_classes(directory: Path) -> tuple[list[str], str | None]:
    """The class names in the order of their labels, and the class that is not a cat, if there is one."""
    content = _description(directory)
    return list(content["classes"]), content["other"]


def load_fit(directory: Path) -> Fit:
    """How the images became squares."""
    fit: Fit = _description(directory)["fit"]
    return fit


def _description(directory: Path) -> dict[str, Any]:
    path = directory / "classes.json"
    try:
        content: dict[str, Any] = read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run the preprocess stage first") from None
    return content


def sample_rows(labels: np.ndarray, at_most: int) -> np.ndarray:
    """Rows, int64 and ascending, of integer labels [N]: all where they are no more than `at_most`.

    Else the same share of each class, rounded up to LEAST_OF_CLASS, drawn at random, but always the same for the same labels.
    """
    if len(labels) <= at_most:
        return np.arange(len(labels))
    rng = np.random.default_rng(0)
    chosen = []
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        count = max(len(rows) * at_most // len(labels), min(LEAST_OF_CLASS, len(rows)))
        chosen.append(rng.permutation(rows)[:count])
    return np.sort(np.concatenate(chosen))


def sampled(split: Split, at_most: int) -> Split:
    """The split itself where it has no more than `at_most` images, else a sample of it in memory (see sample_rows)."""
    if len(split.labels) <= at_most:
        return split
    rows = sample_rows(split.labels, at_most)
    return Split(read_rows(split.images, rows), split.labels[rows], [split.names[row] for row in rows])
