"""The arrays of a processed view as files that are easily carried: one image a split, in WebP, without loss."""

from __future__ import annotations

import csv
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from tinycats.data.processed import load_split
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.files import atomic_directory

SPLITS = ("train", "val", "test")
LARGEST_DATA = 40e6  # bytes of all arrays, which somebody has to carry
PACKED = ".webp"
COLUMNS = 16  # of images in a file
LARGEST_SIDE = 16383  # pixels, of WebP


def unpacked(data: Path, size: int, target: Path) -> Path:
    """The folder that has the arrays as training reads them: `data`, or `target` where they are packed.

    Raises UserError where an array is missing, is no images of that size, or all are too large to travel.
    """
    files = [_file(data, split, size) for split in SPLITS]
    _check_total(files, f"--data: the images of {size} px in {data}", "make them smaller with --pack")
    folder = data
    if any(path.suffix == PACKED for path in files):
        folder = target
        with (data / "index.csv").open(encoding="utf-8", newline="") as file:
            counts = Counter(row["split"] for row in csv.DictReader(file))
        with atomic_directory(target) as directory:
            _copy_index(data, directory)
            for split, path in zip(SPLITS, files, strict=True):
                with Image.open(path) as sheet:
                    images = from_sheet(np.array(sheet), size, counts[split])
                np.save(directory / f"{split}_{size}.npy", images)
    for split in SPLITS:
        try:
            images = load_split(folder, split, size).images
        except ValueError as error:
            raise UserError(f"--data: {split}_{size} is damaged: {first_line(error)}") from None
        if images.dtype != np.uint8 or images.shape[1:] != (size, size, 3) or not len(images):
            found = f"{images.dtype} {list(images.shape)}"
            raise UserError(f"--data: {split}_{size} holds {found}, not uint8 [N, {size}, {size}, 3]")
    return folder


def _file(data: Path, split: str, size: int) -> Path:
    kinds = [data / f"{split}_{size}{suffix}" for suffix in (PACKED, ".npy")]
    for path in kinds:
        if path.is_file():
            return path
    there = ", ".join(sorted(path.name for path in data.glob("*_*.*"))) or "no arrays"
    raise UserError(f"--data: no {' or '.join(path.name for path in kinds)} in {data}, which has {there}")


def _check_total(files: Sequence[Path], what: str, advice: str) -> None:
    total = sum(path.stat().st_size for path in files)
    if total > LARGEST_DATA:
        raise UserError(
            f"{what} have {total / 1e6:.1f} MB, more than the {LARGEST_DATA / 1e6:g} MB that travel: {advice}"
        )


def _copy_index(data: Path, target: Path) -> None:
    for name in ("classes.json", "index.csv"):
        shutil.copyfile(data / name, target / name)


def to_sheet(images: np.ndarray) -> np.ndarray:
    """uint8 [N, S, S, 3] as one image, COLUMNS in a row; the last row is filled with black."""
    count, size = images.shape[:2]
    rows = -(-count // COLUMNS)
    filled = np.zeros((rows * COLUMNS, *images.shape[1:]), np.uint8)
    filled[:count] = images
    cells = filled.reshape(rows, COLUMNS, size, size, 3).swapaxes(1, 2)
    return cells.reshape(rows * size, COLUMNS * size, 3)


def from_sheet(sheet: np.ndarray, size: int, count: int) -> np.ndarray:
    """The first `count` images of to_sheet."""
    cells = sheet.reshape(-1, size, COLUMNS, size, 3).swapaxes(1, 2)
    return cells.reshape(-1, size, size, 3)[:count]


def pack(data: Path, size: int, target: Path, text: str) -> None:
    """Write what travels: the arrays of one size, the index, and params.yaml, which holds `text`."""
    with atomic_directory(target) as directory:
        splits = {split: load_split(data, split, size) for split in SPLITS}
        _copy_index(data, directory)
        (directory / "params.yaml").write_text(text, encoding="utf-8")
        files = []
        for name, split in splits.items():
            sheet = to_sheet(np.asarray(split.images))
            if max(sheet.shape) > LARGEST_SIDE:
                raise UserError(f"--pack: {len(split.labels)} images of {size} px do not fit into one file of WebP")
            files.append(directory / f"{name}_{size}{PACKED}")
            Image.fromarray(sheet).save(files[-1], lossless=True, exact=True)
        _check_total(files, f"--pack: the images of {size} px", "leave some out")
        total = sum(path.stat().st_size for path in files)
    print(f"{target}: {total / 1e6:.1f} MB of images of {size} px, and params.yaml")
