"""Images in folders that are named after their classes: a directory, tar or zip."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tinycats.data.raw import RawImage
from tinycats.runtime.errors import UserError
from tinycats.sources.archives import Member, open_members

SPLIT_FOLDERS = {"train": "train", "valid": "val", "val": "val", "test": "test"}
SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".pnm"]
)
LAYOUT = "class/name.jpg or train|valid|test/class/name.jpg"


def image_folder(source: Path) -> Iterator[RawImage]:
    """Yield the images of class/name.jpg or train|valid|val|test/class/name.jpg, with or without one folder above.

    Classes and splits come from the folders alone, so "0" and "00" are two classes. Files without an image's
    suffix, or next to the class folders, are left out. Raises UserError where an image lies deeper, a class has
    no image, or there is none at all.
    """
    with open_members(source) as members:
        above = 1 if _has_folder_above(members) else 0
        has_splits = _folders(members, above) <= SPLIT_FOLDERS.keys()
        classes: set[str] = set()
        images: list[tuple[Member, str, str]] = []
        for member in members:
            parts = member.path.parts[above:]
            split = SPLIT_FOLDERS.get(parts[0], "") if parts and has_splits else ""
            in_split = parts[1:] if split else parts
            if not in_split or (len(in_split) == 1 and not member.is_directory):
                continue
            classes.add(in_split[0])
            if member.is_directory or member.path.suffix.lower() not in SUFFIXES:
                continue
            if len(in_split) > 2:
                raise UserError(f"{source}: {member.path} is nested too deeply; it must be {LAYOUT}")
            images.append((member, in_split[0], split))
        if not images:
            raise UserError(f"{source}: holds no images as {LAYOUT}")
        if empty := classes - {class_name for _, class_name, _ in images}:
            raise UserError(f"{source}: class {min(empty)!r} has no images; add some or delete the folder")
        for member, class_name, split in images:
            yield RawImage(f"{class_name}/{member.path.name}", class_name, split, member.read())


def _folders(members: list[Member], depth: int) -> set[str]:
    """The names of the folders at this depth."""
    return {
        member.path.parts[depth] for member in members if len(member.path.parts) > depth + (not member.is_directory)
    }


def _has_folder_above(members: list[Member]) -> bool:
    """Whether everything lies in one folder that is neither a class nor a split."""
    top = _folders(members, 0)
    return len(top) == 1 and not top & SPLIT_FOLDERS.keys() and bool(_folders(members, 1))
