"""Where images lie: class/name.jpg or split/class/name.jpg, below any number of folders that hold only one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import PurePosixPath

from tinycats.sources.names import escaped

LAYOUT = "class/name.jpg or train|valid|test/class/name.jpg"
SPLIT_FOLDERS = "train, valid (or val) and test"
_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validate": "val", "validation": "val", "dev": "val", "development": "val",
    "test": "test", "tests": "test", "testing": "test",
}  # fmt: skip
_ADDITION = re.compile(r"[\s_.-]*(set|data|dataset|images?|photos?|pictures?|split|folder|dir)$")


def split_of(folder: str) -> str | None:
    """The split that a folder's name means, in the spellings of Kaggle, Keras and the Hub ("Training", "test_set")."""
    name = folder.casefold().strip()
    return _SPLITS.get(name) or _SPLITS.get(_ADDITION.sub("", name))


@dataclass(frozen=True)
class Layout:
    """`above`: the folders above those of the splits or classes. `folders`: the names of these."""

    above: tuple[str, ...]
    folders: frozenset[str]

    @property
    def has_splits(self) -> bool:
        return bool(self.folders) and all(map(split_of, self.folders))

    def place(self, path: PurePosixPath) -> tuple[str, tuple[str, ...]]:
        """The split, or nothing, and the parts of the path from its class on: none where it lies elsewhere."""
        depth = len(self.above)
        if path.parts[:depth] != self.above:
            return "", ()
        parts = path.parts[depth:]
        if not self.has_splits:
            return "", parts
        split = split_of(parts[0]) if len(parts) > 1 else None
        return (split, parts[1:]) if split else ("", ())

    def too_deep(self, path: PurePosixPath) -> str:
        """What is wrong where this image lies deeper than a class."""
        others = sorted(folder for folder in self.folders if not split_of(folder))
        if not self.has_splits and len(others) < len(self.folders):
            splits = ", ".join(sorted(self.folders - set(others)))
            return (
                f"{others[0]!r} is no split folder, but stands beside {splits}; split folders are {SPLIT_FOLDERS}, "
                "with a folder for each class in them"
            )
        return f"{escaped(str(path))} is nested too deeply; it must be {LAYOUT}"


def find_layout(images: Collection[PurePosixPath]) -> Layout:
    """The layout of these images."""
    above: tuple[str, ...] = ()
    while True:
        depth = len(above)
        folders = frozenset(path.parts[depth] for path in images if len(path.parts) > depth + 1)
        deeper = any(len(path.parts) > depth + 2 for path in images)
        if len(folders) != 1 or not deeper or all(map(split_of, folders)):
            return Layout(above, folders)
        above += tuple(folders)
