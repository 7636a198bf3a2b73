"""Images in folders that are named after their classes: a directory, tar or zip."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tinycats.data.raw import RawImage, has_text_only
from tinycats.runtime.errors import UserError
from tinycats.runtime.track import track
from tinycats.sources.archives import Member, open_members
from tinycats.sources.formats import (
    ADVICE,
    LFS_POINTER,
    READ_FORMATS,
    SUFFIXES,
    UNREAD_SUFFIXES,
    format_of,
    is_image_name,
)
from tinycats.sources.layout import LAYOUT, find_layout
from tinycats.sources.names import escaped, tidy_name

OUTSIDE = "outside the class folders"
TOO_DEEP = "nested too deeply"
# Of others, such as ".001" and ". Müller", each would be a reason
_SUFFIX = re.compile(r"\.(?=[0-9]*[a-z])[0-9a-z]{1,10}")


@dataclass(frozen=True)
class LeftOut:
    """A file that gives no image: its path below the source, and why."""

    name: str
    reason: str


def image_folder(source: Path, left_out: list[LeftOut] | None = None) -> Iterator[RawImage]:
    """Yield the images of class/name.jpg or split/class/name.jpg, with or without folders above (see tinycats.sources.layout).

    Classes and splits come from the folders alone, so "0" and "00" are two classes; names that look the same are one. Every
    other file goes to `left_out`. A file whose name does not say that it is an image is one if its content does. Raises UserError
    where an image lies deeper, a class has no image, or there is none at all.
    """
    left_out = [] if left_out is None else left_out
    first = len(left_out)
    with open_members(source) as members:
        usable = [member for member in members if not member.is_clutter]
        files = [member.path for member in usable if not member.is_directory]
        layout = find_layout(list(filter(is_image_name, files)) or [path for path in files if not path.suffix])
        classes: set[str] = set()
        with_images: set[str] = set()
        of_class: dict[str, list[LeftOut]] = {}
        for member in usable:  # before anything is read
            split, place = layout.place(member.path)
            if len(place) > 1 or (place and member.is_directory):
                classes.add(_class_name(source, place[0]))
            if len(place) > 2 and not member.is_directory and member.path.suffix.lower() in SUFFIXES:
                raise UserError(f"{source}: {layout.too_deep(member.path)}")
        for member in track(members, f"files of {source.name}"):
            if member.is_directory:
                continue
            split, place = ("", ()) if member.is_clutter else layout.place(member.path)
            content, reason = _read(member, len(place))
            if reason is None:
                class_name = _class_name(source, place[0])
                with_images.add(class_name)
                name = f"{class_name}/{escaped(place[1])}"
                yield RawImage(name, class_name, split, content, origin=escaped(str(member.path)))
                continue
            left_out.append(LeftOut(escaped(str(member.path)), reason))
            if len(place) > 1:
                of_class.setdefault(_class_name(source, place[0]), []).append(left_out[-1])
        if not with_images:
            raise UserError(f"{source}: holds no images as {LAYOUT}{_found(left_out[first:])}")
        if empty := classes - with_images:
            name = min(empty)
            advice = "delete the folder" if name not in of_class else f"{ADVICE}, or delete the folder"
            raise UserError(
                f"{source}: class {name!r} has no images{_found(of_class.get(name, []))}; add some or {advice}"
            )


def _read(member: Member, depth: int) -> tuple[bytes, str | None]:
    """The content of an image, or the reason why it is none. `depth`: 2 in a class folder, more in folders of that, else less."""
    suffix, in_class = member.path.suffix.lower(), depth == 2
    if member.is_clutter:
        return b"", "not downloaded from iCloud" if suffix == ".icloud" else "hidden, or of the system"
    if member.problem:
        return b"", member.problem
    if not in_class and is_image_name(member.path):
        return b"", OUTSIDE
    if suffix in UNREAD_SUFFIXES:
        return b"", f"format that is not read: {suffix}"
    if depth < 2 or (depth > 2 and suffix):
        return b"", _no_image(suffix)
    content = member.read()
    if content.startswith(LFS_POINTER):
        return b"", "pointer of Git LFS (`git lfs pull` gets the file)"
    if suffix not in SUFFIXES and format_of(content) not in READ_FORMATS:
        return b"", _no_image(suffix)
    return (content, None) if in_class else (b"", TOO_DEEP)


def _no_image(suffix: str) -> str:
    if suffix and not _SUFFIX.fullmatch(suffix):
        return "no image"
    return f"no image: {suffix or 'no suffix'}"


def count_reasons(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """How many files were left out for each reason, the most first."""
    return dict(Counter(file.reason for file in sorted(left_out, key=lambda file: file.reason)).most_common())


def _found(left_out: list[LeftOut]) -> str:
    """The end of "has no images": what there is instead."""
    if not left_out:
        return ""
    reasons = "; ".join(f"{count} × {reason}" for reason, count in count_reasons(left_out).items())
    return f" that are read (left out: {reasons}; read are {' '.join(sorted(SUFFIXES))})"


def _class_name(source: Path, folder: str) -> str:
    name = tidy_name(folder)
    if not has_text_only(name) or name in ("", ".", ".."):
        raise UserError(
            f"{source}: the folder {folder!r} has no name that can be read (it is not UTF-8, or has control characters, or "
            "nothing that can be seen); rename it, or pack the archive again with names in UTF-8"
        )
    return name
