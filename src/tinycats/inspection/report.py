"""What is wrong with the data, as far as it can be seen: numbers, a list of findings, and pictures of them.

`data.json` holds numbers, `findings.json` rows (finding, image, split, class, other, score), the folder `data` the sheets
classes.png, pairs.png, suspects.png and outliers.png. `other` is the image that a near-duplicate is a copy of, or the likely
class; `score` the correlation of the details, the odds of the likely class, or the deviations from what is usual in the class.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tinycats.backbones.features import FrozenFeatures, resize
from tinycats.data.pixels import as_tensor
from tinycats.figures.fonts import shortened, shown_names
from tinycats.figures.sheets import captioned_sheet, class_grid, save_png
from tinycats.inspection.features import comparable_features
from tinycats.inspection.label_errors import likely_wrong_labels
from tinycats.inspection.near_duplicates import Pair, leave_out, near_duplicates
from tinycats.inspection.outliers import outliers
from tinycats.runtime.files import atomic_directory, write_json, write_rows

SHOWN = 24  # of each kind, on the sheets
OF_EACH_CLASS = 8
SHOWN_PX = 128
COLUMNS = 4
WITHOUT = "-S preprocess.features=null -S preprocess.near_duplicates=report"
# Of a near-duplicate in two splits the one that judges stays: training on its twin would make it easier.
STAYS_FIRST = ("test", "val", "train")


@dataclass(frozen=True)
class Looked:
    """Images to look at: rows [N] of `pixels`, uint8 [M, S, S, 3], memory-mapped perhaps.

    One each: names, class names, splits and sides in pixels.
    """

    pixels: np.ndarray
    rows: np.ndarray
    names: Sequence[str]
    classes: Sequence[str]
    splits: Sequence[str]
    sides: Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Seen:
    """What the features show: `twins` are the images that a better one is a copy of, by number, and that one."""

    features: np.ndarray
    pairs: list[Pair]
    twins: dict[int, int]


def look(images: Looked, arch: str) -> Seen:
    """Features of the images, and the near-duplicates. Raises UserError where the network has no weights."""
    features = comparable_features(FrozenFeatures(arch, WITHOUT), images.pixels, images.rows)
    pairs = near_duplicates(images.pixels, features, images.rows)
    order = sorted(range(len(images.names)), key=lambda row: (STAYS_FIRST.index(images.splits[row]), images.names[row]))
    return Seen(features, pairs, leave_out(pairs, order))


def write_report(images: Looked, seen: Seen | None, dropped: bool, directory: Path) -> None:
    """Write data.json, findings.json and data/ into `directory`. `dropped`: whether the twins are left out of the data."""
    left_out = set(seen.twins) if seen and dropped else set()
    kept = np.array([row for row in range(len(images.names)) if row not in left_out])
    numbers: dict[str, Any] = {"images": len(kept), **_balance(images, kept), **_sizes(images, kept)}
    findings: list[tuple[str, int, str, float]] = []
    with atomic_directory(directory / "data") as folder:
        save_png(_of_each_class(images, kept), folder / "classes.png")
        if seen:
            numbers["near_duplicates"] = _pairs(images, seen.pairs) | {"dropped": len(left_out)}
            # The worst first: across splits, then the surest
            pairs = sorted(seen.pairs, key=lambda pair: (_same_split(images, pair), -pair.correlation))
            save_png(_pair_sheet(images, pairs), folder / "pairs.png")
            for pair in pairs:
                for row, twin in ((pair.first, pair.second), (pair.second, pair.first)):
                    if seen.twins.get(row) == twin:
                        findings.append(("near_duplicate", row, images.names[twin], pair.correlation))
            numbers |= _labels_and_outliers(images, seen.features, kept, findings, folder)
    _write_findings(images, findings, directory / "findings.json")
    write_json(directory / "data.json", numbers)


def _balance(images: Looked, kept: np.ndarray) -> dict[str, Any]:
    counts = Counter(images.classes[row] for row in kept).values()
    smallest, largest = min(counts), max(counts)
    figures = {"classes": len(counts), "smallest_class": smallest, "largest_class": largest}
    return {"balance": figures | {"largest_to_smallest": round(largest / smallest, 2)}}


def _sizes(images: Looked, kept: np.ndarray) -> dict[str, Any]:
    sides = np.array([images.sides[row] for row in kept])
    shorter = sides.min(axis=1)
    enlarged = int((shorter < images.pixels.shape[1]).sum())
    return {
        "sizes": {
            "shorter_side_px_min": int(shorter.min()),
            "shorter_side_px_median": float(np.median(shorter)),
            "shorter_side_px_max": int(shorter.max()),
            "largest_aspect_ratio": round(float((sides.max(axis=1) / shorter).max()), 2),
            "enlarged": enlarged,  # smaller than what training asks for
            "enlarged_share": round(enlarged / len(kept), 4),
        }
    }


def _pairs(images: Looked, pairs: Sequence[Pair]) -> dict[str, int]:
    across = sum(not _same_split(images, pair) for pair in pairs)
    return {
        "pairs": len(pairs),
        "pairs_within_a_split": len(pairs) - across,
        "pairs_across_splits": across,
        "pairs_of_two_classes": sum(images.classes[pair.first] != images.classes[pair.second] for pair in pairs),
        "mirrored_pairs": sum(pair.mirrored for pair in pairs),
    }


def _same_split(images: Looked, pair: Pair) -> bool:
    return images.splits[pair.first] == images.splits[pair.second]


def _labels_and_outliers(
    images: Looked, features: np.ndarray, kept: np.ndarray, findings: list[tuple[str, int, str, float]], folder: Path
) -> dict[str, Any]:
    """Of the kept images. What cannot be computed of so few is absent."""
    numbers: dict[str, Any] = {}
    classes, labels = np.unique([images.classes[row] for row in kept], return_inverse=True)
    if (judged := likely_wrong_labels(features[kept], labels)) is not None:
        suspects, agreement = judged
        rows = [int(kept[suspect.image]) for suspect in suspects]
        likely = [str(classes[suspect.likely]) for suspect in suspects]
        numbers["labels"] = {
            "suspects": len(suspects),
            "suspects_share": round(len(suspects) / len(kept), 4),
            "probe_agreement": round(agreement, 4),
        }
        findings += [
            ("wrong_label", row, guess, suspect.odds)
            for row, guess, suspect in zip(rows, likely, suspects, strict=True)
        ]
        shown = dict(zip(map(str, classes), shown_names(classes.tolist()), strict=True))
        captions = [
            f"{_short(images, row)}\ngiven {shown[images.classes[row]]}\nlikely {shown[guess]}"
            for row, guess in zip(rows, likely, strict=True)
        ]
        save_png(_sheet(images, [[row] for row in rows], captions), folder / "suspects.png")
    found = outliers(features[kept], labels)
    rows = [int(kept[outlier.image]) for outlier in found]
    numbers["outliers"] = {"outliers": len(found), "outliers_share": round(len(found) / len(kept), 4)}
    findings += [("outlier", row, "", outlier.deviations) for row, outlier in zip(rows, found, strict=True)]
    captions = [f"{_short(images, row)}\n{shortened(images.classes[row])}" for row in rows]
    save_png(_sheet(images, [[row] for row in rows], captions), folder / "outliers.png")
    return numbers


def _pair_sheet(images: Looked, pairs: Sequence[Pair]) -> Image.Image:
    captions = [f"{_short(images, pair.first)}\n{_short(images, pair.second)}" for pair in pairs]
    return _sheet(images, [[pair.first, pair.second] for pair in pairs], captions)


def _of_each_class(images: Looked, kept: np.ndarray) -> Image.Image:
    """As many of each, evenly spread over its images."""
    classes = sorted(set(images.classes))
    rows: list[int] = []
    for name in classes:
        of_class = [int(row) for row in kept if images.classes[row] == name]
        rows += [of_class[i] for i in np.linspace(0, len(of_class) - 1, OF_EACH_CLASS).astype(int)]
    return class_grid(_shown(images.pixels[images.rows[rows]]), classes)


def _sheet(images: Looked, groups: Sequence[Sequence[int]], captions: Sequence[str]) -> Image.Image:
    shown = [_shown(images.pixels[images.rows[list(group)]]) for group in groups[:SHOWN]]
    return captioned_sheet(shown, captions[:SHOWN], COLUMNS)


def _shown(pixels: np.ndarray) -> np.ndarray:
    return resize(as_tensor(pixels), SHOWN_PX).numpy() if pixels.shape[1] > SHOWN_PX else np.array(pixels)


def _short(images: Looked, row: int) -> str:
    """The file's name without the folder of its class, and its split."""
    return f"{shortened(Path(images.names[row]).stem)} ({images.splits[row]})"


def _write_findings(images: Looked, findings: Sequence[tuple[str, int, str, float]], path: Path) -> None:
    write_rows(
        path,
        (
            {
                "finding": finding,
                "image": images.names[row],
                "split": images.splits[row],
                "class": images.classes[row],
                "other": other,
                "score": float(f"{score:.3g}"),
            }
            for finding, row, other, score in findings
        ),
    )
