"""From the raw to the processed data set: decode, check, remove duplicates, split, look for what is wrong, pack."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tinycats.data.processed import write_processed
from tinycats.data.raw import SPLITS, RawImage, count_raw, read_raw
from tinycats.inspection.report import Looked, look, write_report
from tinycats.preparing.decode import BAD_REASONS, RARE_REASONS, BadImageError, decode, pixel_digest, to_square
from tinycats.preparing.face_view import write_face_view
from tinycats.preparing.split import split_images
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory
from tinycats.runtime.parallel import map_in_order
from tinycats.runtime.params import Fit, PreprocessParams
from tinycats.runtime.track import track
from tinycats.runtime.words import some
from tinycats.sources.names import tidy_name

SHOWN_BAD = 5


@dataclass(frozen=True, slots=True)
class Decoded:
    """A raw image after decoding: `bad` is the reason why it cannot be used, or None. Its pixels are on disk."""

    name: str
    shown: str  # the name by which people know it
    class_name: str
    given_split: str
    bad: str | None
    sides: tuple[int, int]  # width and height in pixels
    fingerprint: bytes  # the same for pixel-identical images, but also for some that are nearly so


def preprocess(
    raw_dir: Path,
    out_dir: Path,
    sizes: Sequence[int],
    settings: PreprocessParams,
    seed: int,
    report_dir: Path | None = None,
    face_size: int | None = None,
) -> dict[str, Any]:
    """Make `out_dir` of the raw data set, on all cores; it appears whole or not at all.

    It has a folder for each view (see tinycats.data.processed): `photo` in all `sizes`, and where settings.face says how they
    are found, `face` in `face_size` pixels.

    Images that cannot be used are left out. Of pixel-identical ones the first by name stays, before the split, so
    that none is in two splits. Of near-duplicates the one in test stays, else the one in val, else the first by name.
    What is wrong with the data goes to `report_dir` (see tinycats.inspection.report). The result depends on the raw data
    and the arguments only, byte for byte.

    Returns {"read", "kept": counts, "quarantined": {reason: count}, "splits" and "classes": {name: count},
    "quarantined_files": [{"name", "reason" and, of duplicates, "same_as"}]}, "faces" (see write_face_view), and, where identical
    images are in two classes, "label_conflicts": [{"name", "class", "same_as", "other_class"}]. Names are those of the source.
    Raises UserError where more than settings.max_bad_fraction of the images are bad (duplicates are not), a class has too few
    good ones, or there are no faces for the view.
    """
    if settings.other_class is not None:  # which may be typed otherwise than the folder is named
        settings = settings.model_copy(update={"other_class": tidy_name(settings.other_class)})
    other_class, min_side_px, max_pixels = settings.other_class, settings.min_side_px, settings.max_pixels
    with atomic_directory(out_dir) as temporary:
        images, pixels = _decode_all(raw_dir, temporary, sizes, settings.fit, min_side_px, max_pixels)
        good = [image for image in images if image.bad is None]
        classes = sorted({image.class_name for image in images})
        if other_class is not None and other_class not in classes:
            raise UserError(f"{raw_dir}: other_class {other_class!r} is not among its classes: {', '.join(classes)}")
        bad = Counter(image.bad for image in images if image.bad is not None)
        _check_bad(raw_dir, images, settings.max_bad_fraction)

        same_as = _duplicates(raw_dir, good, min_side_px, max_pixels)
        kept = [image for image in good if image.name not in same_as]
        splits = split_images(
            [(image.name, image.class_name, image.given_split) for image in kept],
            classes,
            settings.val_fraction,
            settings.test_fraction,
            seed,
            _lost(images, same_as),
        )
        rows = {image.name: row for row, image in enumerate(good)}
        near = _look(kept, splits, pixels[max(sizes)], rows, settings, report_dir)
        _check_splits(raw_dir, kept, splits, near)
        kept = [image for image in kept if image.name not in near]
        labels = {class_name: label for label, class_name in enumerate(classes)}
        (temporary / "photo").mkdir()
        write_processed(
            temporary / "photo",
            pixels,
            [(image.name, labels[image.class_name], splits[image.name], rows[image.name]) for image in kept],
            classes,
            other_class,
            settings.fit,
        )
        for size in sizes:
            _spool_path(temporary, size).unlink()
        faces: dict[str, Any] = {}
        if settings.face is not None and face_size is not None:
            (temporary / "face").mkdir()
            searched = [(image.name, image.class_name, splits[image.name]) for image in kept]
            faces["faces"] = write_face_view(temporary / "face", raw_dir, searched, settings, face_size, report_dir)

    in_split = Counter(splits[image.name] for image in kept)
    in_class = Counter(image.class_name for image in kept)
    return {
        "read": len(images),
        "kept": len(kept),
        "quarantined": {reason: bad[reason] for reason in BAD_REASONS}
        | {reason: bad[reason] for reason in RARE_REASONS if bad[reason]}
        | {"duplicate": len(same_as), "near_duplicate": len(near)},
        "splits": {split: in_split[split] for split in SPLITS},
        "classes": {class_name: in_class[class_name] for class_name in classes},
        **faces,
        **_conflicts(images, same_as),
        "quarantined_files": _quarantined(images, same_as, near),
    }


def _quarantined(
    images: Sequence[Decoded], same_as: Mapping[str, str], near: Mapping[str, str]
) -> list[dict[str, str]]:
    """Every image that was left out, and why."""
    shown = {image.name: image.shown for image in images}
    copies = {name: ("duplicate", shown[twin]) for name, twin in same_as.items()}
    copies |= {name: ("near_duplicate", shown[twin]) for name, twin in near.items()}
    return [
        {"name": image.shown, "reason": image.bad}
        if image.bad
        else {"name": image.shown, "reason": copies[image.name][0], "same_as": copies[image.name][1]}
        for image in images
        if image.bad or image.name in copies
    ]


def _conflicts(images: Sequence[Decoded], same_as: Mapping[str, str]) -> dict[str, Any]:
    """Identical images in two classes: whichever stays, its class may be the wrong one."""
    by_name = {image.name: image for image in images}
    pairs = [(by_name[name], by_name[twin]) for name, twin in same_as.items()]
    found = [
        {"name": twin.shown, "class": twin.class_name, "same_as": image.shown, "other_class": image.class_name}
        for image, twin in pairs
        if image.class_name != twin.class_name
    ]
    return {"label_conflicts": found} if found else {}


def _lost(images: Sequence[Decoded], same_as: Mapping[str, str]) -> dict[str, str]:
    """What was left out of each class, in words."""
    counts: dict[str, Counter[str]] = {}
    for image in images:
        reason = image.bad or ("duplicate" if image.name in same_as else None)
        if reason:
            counts.setdefault(image.class_name, Counter())[reason] += 1
    return {
        name: "left out: " + ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        for name, reasons in counts.items()
    }


def _decode_all(
    raw_dir: Path, spool_dir: Path, sizes: Sequence[int], fit: Fit, min_side_px: int, max_pixels: int
) -> tuple[list[Decoded], dict[int, np.ndarray]]:
    """All images, sorted by name, and for each size the pixels of the good ones, uint8 [N, S, S, 3], on disk."""
    images: list[Decoded] = []
    work = partial(_decode_one, sizes=tuple(sizes), fit=fit, min_side_px=min_side_px, max_pixels=max_pixels)
    with ExitStack() as stack:
        # Written, not mapped: where the disk is full, writing raises while a mapped page ends the process.
        spools = [stack.enter_context(_spool_path(spool_dir, size).open("wb")) for size in sizes]
        decoded = map_in_order(work, read_raw(raw_dir))
        for image, squares in track(decoded, "reading images", count_raw(raw_dir)):
            images.append(image)
            for spool, square in zip(spools, squares, strict=False):
                spool.write(square)
    count = sum(image.bad is None for image in images)
    if count == 0:
        raise UserError(f"{raw_dir}: none of its {len(images)} images can be used: {_named(images)}")
    return images, {
        size: np.memmap(_spool_path(spool_dir, size), np.uint8, "r", shape=(count, size, size, 3)) for size in sizes
    }


def _spool_path(directory: Path, size: int) -> Path:
    return directory / f"spool_{size}"


def _decode_one(
    image: RawImage, sizes: tuple[int, ...], fit: Fit, min_side_px: int, max_pixels: int
) -> tuple[Decoded, list[bytes]]:
    try:
        decoded = decode(image.content, min_side_px, max_pixels)
    except BadImageError as error:
        return Decoded(image.name, image.shown, image.class_name, image.split, error.reason, (0, 0), b""), []
    squares = [to_square(decoded, size, fit).tobytes() for size in sizes]
    # The small squares are hashed, not all pixels, which costs a quarter of the time of decoding.
    fingerprint = hashlib.sha256(b"".join([str(decoded.size).encode(), *squares])).digest()
    return Decoded(image.name, image.shown, image.class_name, image.split, None, decoded.size, fingerprint), squares


def _check_bad(raw_dir: Path, images: Sequence[Decoded], max_bad_fraction: float) -> None:
    bad = [image for image in images if image.bad]
    if len(bad) > max_bad_fraction * len(images):
        counts = Counter(image.bad for image in bad)
        reasons = ", ".join(f"{counts[reason]} {reason}" for reason in (*BAD_REASONS, *RARE_REASONS) if counts[reason])
        advice = "; ".join(RARE_REASONS[reason] for reason in RARE_REASONS if counts[reason])
        raise UserError(
            f"{raw_dir}: {len(bad)} of {len(images)} images are bad ({reasons}); preprocess.max_bad_fraction allows "
            f"{max_bad_fraction:g}: {_named(bad)}{advice and f'; {advice}'}"
        )


def _named(bad: Sequence[Decoded]) -> str:
    return some([f"{image.shown} ({image.bad})" for image in bad], SHOWN_BAD)


def _duplicates(raw_dir: Path, images: Sequence[Decoded], min_side_px: int, max_pixels: int) -> dict[str, str]:
    """The names of images whose pixels are those of an earlier one, and the name of that one."""
    counts = Counter(image.fingerprint for image in images)
    suspects = {image.name for image in images if counts[image.fingerprint] > 1}
    if not suspects:
        return {}
    work = partial(_digest_one, min_side_px=min_side_px, max_pixels=max_pixels)
    first: dict[bytes, str] = {}
    same_as: dict[str, str] = {}
    digests = map_in_order(work, read_raw(raw_dir, suspects))
    for name, digest in track(digests, "looking for identical images", len(suspects)):
        if (earlier := first.setdefault(digest, name)) != name:
            same_as[name] = earlier
    return same_as


def _look(
    images: Sequence[Decoded],
    splits: Mapping[str, str],
    pixels: np.ndarray,
    rows: Mapping[str, int],
    settings: PreprocessParams,
    report_dir: Path | None,
) -> dict[str, str]:
    """Write the report on the images. Returns the names of near-duplicates to drop, and of the images that stay for them."""
    names = [image.name for image in images]
    looked = Looked(
        pixels,
        np.array([rows[name] for name in names]),
        [image.shown for image in images],
        [image.class_name for image in images],
        [splits[name] for name in names],
        [image.sides for image in images],
    )
    seen = look(looked, settings.features) if settings.features else None
    drop = settings.near_duplicates == "drop"
    if report_dir is not None:
        write_report(looked, seen, drop, report_dir)
    return {names[row]: names[twin] for row, twin in sorted(seen.twins.items())} if seen and drop else {}


def _check_splits(raw_dir: Path, images: Sequence[Decoded], splits: Mapping[str, str], near: Mapping[str, str]) -> None:
    before = {(image.class_name, splits[image.name]) for image in images}
    after = {(image.class_name, splits[image.name]) for image in images if image.name not in near}
    if emptied := sorted(before - after):
        class_name, split = emptied[0]
        raise UserError(
            f"{raw_dir}: all {split} images of {class_name!r} are near-duplicates of others; add some, or keep them with "
            "-S preprocess.near_duplicates=report"
        )


def _digest_one(image: RawImage, min_side_px: int, max_pixels: int) -> tuple[str, bytes]:
    return image.name, pixel_digest(decode(image.content, min_side_px, max_pixels))
