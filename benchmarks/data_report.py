"""What the look at the data finds of planted faults, in drawn cats and in real photos, and in both as they are.

    python benchmarks/data_report.py --data ../shared/data

Writes benchmarks/results/data_report.json.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from machine import machine, seconds, write_tables
from tinycats.data.raw import RawImage, write_raw
from tinycats.preparing.decode import decode
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.errors import one_line_errors
from tinycats.sources.oxford_pets import Archive, oxford_pets
from tinycats.sources.synthetic import synthetic_images
from training import composed

WRONG_SHARE = 0.03
COPIES = 40
MAX_CUT = 0.05  # of each side


def photos(directory: Path) -> list[RawImage]:
    archives = [directory / "oxford_pets" / f"{name}.tar.gz" for name in ("images", "annotations")]
    images, annotations = (Archive(path, hashlib.md5(path.read_bytes()).hexdigest()) for path in archives)
    return list(oxford_pets(images, annotations, other_max=300, seed=0))


def altered(content: bytes, rng: np.random.Generator, smallest: float, largest: float, min_side_px: int) -> bytes:
    """The image resized to a share of its size, no smaller than preprocess takes, cropped a little, as another JPEG."""
    image = decode(content)
    left, top, right, bottom = rng.uniform(0, MAX_CUT, 4)
    box = (left * image.width, top * image.height, (1 - right) * image.width, (1 - bottom) * image.height)
    share = max(rng.uniform(smallest, largest), min_side_px / min(box[2] - box[0], box[3] - box[1]))
    size = (math.ceil(share * (box[2] - box[0])), math.ceil(share * (box[3] - box[1])))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC, box).save(file, "JPEG", quality=int(rng.integers(50, 91)))
    return file.getvalue()


def planted(
    images: Sequence[RawImage], shares: tuple[float, float], min_side_px: int, seed: int
) -> tuple[list[RawImage], dict[str, str], set[tuple[str, str]]]:
    """The images with faults, the true names of those with a wrong label, and the pairs of copies, by name.

    Copies are given to training, their originals to the test split.
    """
    rng = np.random.default_rng(seed)
    classes = sorted({image.class_name for image in images})
    chosen = rng.permutation(len(images))
    wrong = chosen[: round(WRONG_SHARE * len(images))]
    copied = chosen[len(wrong) : len(wrong) + COPIES]
    result, truth, pairs = list(images), {}, set()
    for row in wrong:
        image = images[row]
        others = [name for name in classes if name != image.class_name]
        label = others[rng.integers(len(others))]
        name = f"{label}/{image.name.replace('/', '_')}"
        result[row] = replace(image, name=name, class_name=label)
        truth[name] = image.name
    for row in copied:
        image = images[row]
        result[row] = replace(image, split="test")
        name = f"{image.class_name}/copy_of_{Path(image.name).stem}.jpg"
        result.append(RawImage(name, image.class_name, "train", altered(image.content, rng, *shares, min_side_px)))
        pairs.add((name, image.name))
    return result, truth, pairs


def report(images: Sequence[RawImage], data: str) -> tuple[dict[str, Any], list[dict[str, str]], float]:
    """metrics/data.json and the findings that preprocess writes with the parameters of a data set, and its seconds."""
    params = composed(f"data={data}")
    classifier = params.classifier
    sizes = sorted({classifier.image_size, classifier.source_size or classifier.image_size, params.dit.image_size})
    with tempfile.TemporaryDirectory() as scratch:
        raw, out, metrics = (Path(scratch) / name for name in ("raw", "processed", "metrics"))
        write_raw(raw, images)
        took = seconds(lambda: preprocess(raw, out, sizes, params.preprocess, params.seed, metrics))
        findings = json.loads((metrics / "findings.json").read_text(encoding="utf-8"))
        return json.loads((metrics / "data.json").read_text()), findings, took


def near_duplicates(findings: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(row["image"], row["other"]) for row in findings if row["finding"] == "near_duplicate"}


def groups(pairs: set[tuple[str, str]]) -> list[set[str]]:
    """The images that are copies of each other, directly or by way of others."""
    found: list[set[str]] = []
    for pair in pairs:
        touched = [group for group in found if group & set(pair)]
        found = [group for group in found if group not in touched] + [set(pair).union(*touched)]
    return found


def found(
    numbers: dict[str, Any], findings: list[dict[str, str]], truth: dict[str, str], pairs: set[tuple[str, str]],
    known: set[tuple[str, str]], known_wrong: set[str],
) -> list[Any]:  # fmt: skip
    """Cells: what was found of the planted faults. A copy is found as that of its original, or of a twin that it had before."""
    alike = groups(pairs | known)
    twins = {(truth.get(one, one), truth.get(other, other)) for one, other in near_duplicates(findings)}
    right_twins = {twin for twin in twins if any(set(twin) <= group for group in alike)}
    copies = {copy for copy, _ in pairs if any(copy in twin for twin in right_twins)}
    suspects = [row for row in findings if row["finding"] == "wrong_label"]
    right = [row for row in suspects if row["image"] in truth]
    named = [row for row in right if truth[row["image"]].startswith(f"{row['other']}/")]
    return [
        f"{len(copies)} of {len(pairs)}", len(twins - right_twins),
        f"{len(right)} of {len(truth)} ({len(right) / len(truth):.0%})", f"{len(right) / len(suspects):.0%}",
        f"{len(right) / len([row for row in suspects if row['image'] not in known_wrong]):.0%}",
        f"{len(named) / len(right):.0%}", f"{numbers['labels']['probe_agreement']:.0%}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    before = machine()
    sources = {
        "drawn cats, 64 px": ("synthetic", list(synthetic_images(240, 0, 64)), (0.75, 1.25)),
        "Oxford-IIIT Pet": ("oxford_pets", photos(arguments.data), (0.5, 1.0)),
    }
    as_it_is, faults = [], []
    for title, (data, images, shares) in sources.items():
        numbers, findings, took = report(images, data)
        near = numbers["near_duplicates"]
        as_it_is.append([
            title, len(images), near["pairs"], near["pairs_across_splits"], near["dropped"],
            numbers["labels"]["suspects"], numbers["outliers"]["outliers"], f"{took:.0f}",
        ])  # fmt: skip
        known = near_duplicates(findings)
        known_wrong = {row["image"] for row in findings if row["finding"] == "wrong_label"}
        for seed in range(arguments.seeds):
            faulty, truth, pairs = planted(images, shares, composed(f"data={data}").preprocess.min_side_px, seed)
            numbers, findings, _ = report(faulty, data)
            faults.append([title, seed, *found(numbers, findings, truth, pairs, known, known_wrong)])
    notes = (
        f"Planted: {WRONG_SHARE:.0%} of the labels replaced by another class, drawn uniformly, and {COPIES} copies in training "
        f"of images in the test split: resized (photos to 50-100%, drawings to 75-125%), cropped by up to {MAX_CUT:.0%} on each "
        "side, JPEG quality 50-90. 'Other pairs' are neither planted nor found in the data as it is. 'Right' are the planted "
        "ones among all suspects, and among those that were not suspects without planted faults."
    )
    write_tables(
        "data_report",
        before,
        notes,
        [
            {
                "head": ["planted faults in", "seed", "copies found", "other pairs", "wrong labels found",
                         "suspects that are right", "without those before", "true class named", "probe agrees with labels"],
                "rows": faults,
            },
            {
                "head": ["as it is", "images", "pairs of near-duplicates", "across splits", "dropped", "suspects", "outliers",
                         "seconds of preprocess"],
                "rows": as_it_is,
            },
        ],
    )  # fmt: skip


if __name__ == "__main__":
    with one_line_errors():
        main()
