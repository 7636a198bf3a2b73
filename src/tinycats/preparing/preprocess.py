"""From the raw to the processed data set: decode, check, remove duplicates, split, pack."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinycats.data.processed import write_processed
from tinycats.data.raw import SPLITS, RawImage, read_raw
from tinycats.preparing.decode import BAD_REASONS, BadPictureError, decode, pixel_digest, to_square
from tinycats.preparing.split import split_pictures
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory
from tinycats.runtime.parallel import map_in_order
from tinycats.runtime.params import Fit, PreprocessParams


@dataclass(frozen=True)
class Picture:
    """A raw picture after decoding: `bad` is the reason why it cannot be used, or None. Its pixels are on disk."""

    name: str
    class_name: str
    given_split: str
    bad: str | None
    fingerprint: bytes  # the same for pixel-identical pictures, but also for some that are nearly so


def preprocess(
    raw_dir: Path,
    out_dir: Path,
    sizes: Sequence[int],
    settings: PreprocessParams,
    seed: int,
) -> dict[str, Any]:
    """Make `out_dir` (see tinycats.data.processed) of the raw data set, on all cores; it appears whole or not at all.

    Pictures that cannot be used are left out. Of pixel-identical ones the first by name stays, before the split, so
    that none is in two splits. The result depends on the raw data and the arguments only, byte for byte.

    Returns {"read", "kept": counts, "quarantined": {reason: count}, "splits" and "classes": {name: count},
    "quarantined_files": [{"name", "reason" and, of duplicates, "same_as"}]}, sorted by name. Raises UserError where
    more than settings.max_bad_fraction of the pictures are bad (duplicates are not), or a class has too few good ones.
    """
    other_class, min_side_px, max_pixels = settings.other_class, settings.min_side_px, settings.max_pixels
    with atomic_directory(out_dir) as temporary:
        pictures, pixels = _decode_all(raw_dir, temporary, sizes, settings.fit, min_side_px, max_pixels)
        good = [picture for picture in pictures if picture.bad is None]
        classes = sorted({picture.class_name for picture in pictures})
        if other_class is not None and other_class not in classes:
            raise UserError(f"{raw_dir}: other_class {other_class!r} is none of its classes: {', '.join(classes)}")
        bad = Counter(picture.bad for picture in pictures if picture.bad is not None)
        _check_bad(raw_dir, bad, len(pictures), settings.max_bad_fraction)

        same_as = _duplicates(raw_dir, good, min_side_px, max_pixels)
        kept = [picture for picture in good if picture.name not in same_as]
        splits = split_pictures(
            [(picture.name, picture.class_name, picture.given_split) for picture in kept],
            classes,
            settings.val_fraction,
            settings.test_fraction,
            seed,
        )
        rows = {picture.name: row for row, picture in enumerate(good)}
        labels = {class_name: label for label, class_name in enumerate(classes)}
        write_processed(
            temporary,
            pixels,
            [(picture.name, labels[picture.class_name], splits[picture.name], rows[picture.name]) for picture in kept],
            classes,
            other_class,
            settings.fit,
        )
        for size in sizes:
            _spool_path(temporary, size).unlink()

    in_split = Counter(splits.values())
    in_class = Counter(picture.class_name for picture in kept)
    quarantined = [
        {"name": picture.name, "reason": picture.bad}
        if picture.bad
        else {"name": picture.name, "reason": "duplicate", "same_as": same_as[picture.name]}
        for picture in pictures
        if picture.bad or picture.name in same_as
    ]
    return {
        "read": len(pictures),
        "kept": len(kept),
        "quarantined": {reason: bad[reason] for reason in BAD_REASONS} | {"duplicate": len(same_as)},
        "splits": {split: in_split[split] for split in SPLITS},
        "classes": {class_name: in_class[class_name] for class_name in classes},
        "quarantined_files": quarantined,
    }


def _decode_all(
    raw_dir: Path, spool_dir: Path, sizes: Sequence[int], fit: Fit, min_side_px: int, max_pixels: int
) -> tuple[list[Picture], dict[int, np.ndarray]]:
    """All pictures, sorted by name, and for each size the pixels of the good ones, uint8 [N, S, S, 3], on disk."""
    pictures: list[Picture] = []
    work = partial(_decode_one, sizes=tuple(sizes), fit=fit, min_side_px=min_side_px, max_pixels=max_pixels)
    with ExitStack() as stack:
        # Written, not mapped: where the disk is full, writing raises while a mapped page ends the process.
        spools = [stack.enter_context(_spool_path(spool_dir, size).open("wb")) for size in sizes]
        for picture, squares in map_in_order(work, read_raw(raw_dir)):
            pictures.append(picture)
            for spool, square in zip(spools, squares, strict=False):
                spool.write(square)
    count = sum(picture.bad is None for picture in pictures)
    if count == 0:
        raise UserError(f"{raw_dir}: none of its {len(pictures)} pictures can be used")
    return pictures, {
        size: np.memmap(_spool_path(spool_dir, size), np.uint8, "r", shape=(count, size, size, 3)) for size in sizes
    }


def _spool_path(directory: Path, size: int) -> Path:
    return directory / f"spool_{size}"


def _decode_one(
    image: RawImage, sizes: tuple[int, ...], fit: Fit, min_side_px: int, max_pixels: int
) -> tuple[Picture, list[bytes]]:
    try:
        decoded = decode(image.content, min_side_px, max_pixels)
    except BadPictureError as error:
        return Picture(image.name, image.class_name, image.split, error.reason, b""), []
    squares = [to_square(decoded, size, fit).tobytes() for size in sizes]
    # The small squares are hashed, not all pixels, which costs a quarter of the time of decoding.
    fingerprint = hashlib.sha256(b"".join([str(decoded.size).encode(), *squares])).digest()
    return Picture(image.name, image.class_name, image.split, None, fingerprint), squares


def _check_bad(raw_dir: Path, bad: Counter[str], total: int, max_bad_fraction: float) -> None:
    if bad.total() > max_bad_fraction * total:
        reasons = ", ".join(f"{bad[reason]} {reason}" for reason in BAD_REASONS if bad[reason])
        raise UserError(
            f"{raw_dir}: {bad.total()} of {total} pictures are bad ({reasons}); "
            f"preprocess.max_bad_fraction allows {max_bad_fraction:g}"
        )


def _duplicates(raw_dir: Path, pictures: Sequence[Picture], min_side_px: int, max_pixels: int) -> dict[str, str]:
    """The names of pictures whose pixels are those of an earlier one, and the name of that one."""
    counts = Counter(picture.fingerprint for picture in pictures)
    suspects = {picture.name for picture in pictures if counts[picture.fingerprint] > 1}
    if not suspects:
        return {}
    work = partial(_digest_one, min_side_px=min_side_px, max_pixels=max_pixels)
    first: dict[bytes, str] = {}
    same_as: dict[str, str] = {}
    for name, digest in map_in_order(work, read_raw(raw_dir, suspects)):
        if (earlier := first.setdefault(digest, name)) != name:
            same_as[name] = earlier
    return same_as


def _digest_one(image: RawImage, min_side_px: int, max_pixels: int) -> tuple[str, bytes]:
    return image.name, pixel_digest(decode(image.content, min_side_px, max_pixels))
