"""Several sources of images as one: classes of the same name are pooled, other names become further classes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from tinycats.data.raw import RawImage, write_raw
from tinycats.runtime.errors import UserError


def write_merged(directory: Path, sources: Sequence[tuple[str, Iterable[RawImage]]]) -> dict[str, Any]:
    """Write the images of all (title, images) sources as the raw data set `directory`.

    A file name that another image of the class already has gets a number, and the title becomes a part of its origin. Returns
    {"total", "classes": {name: count}, "sources": {title: count}, "splits": {name: count}}, where `unsplit` counts what
    preprocessing is to split. Raises UserError where there are not at least two classes; then nothing is written.
    """
    by_source: Counter[str] = Counter()
    by_split: Counter[str] = Counter()

    def pooled() -> Iterator[RawImage]:
        classes: set[str] = set()
        names: set[str] = set()
        for title, images in sources:
            for image in images:
                origin = f"{title}/{image.shown}" if len(sources) > 1 else image.shown
                image = replace(image, name=_unused(image.name, names), origin=origin)
                names.add(image.name)
                classes.add(image.class_name)
                by_source[title] += 1
                by_split[image.split or "unsplit"] += 1
                yield image
        if len(classes) < 2:
            where = ", ".join(title for title, _ in sources)
            found = f"only one class, {classes.pop()!r}" if classes else "no images"
            raise UserError(f"{where}: {found}; a classifier needs at least two classes")

    by_class = write_raw(directory, pooled())
    return {
        "total": by_source.total(),
        "classes": by_class,
        "sources": dict(by_source),
        "splits": dict(sorted(by_split.items())),
    }


def _unused(name: str, names: set[str]) -> str:
    path, number, candidate = PurePosixPath(name), 2, name
    while candidate in names:
        candidate = f"{path.with_suffix('')}-{number}{path.suffix}"
        number += 1
    return candidate
