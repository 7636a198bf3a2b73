"""Names of classes and animals as names of files: readable, and never one for two names."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence

MAX_LETTERS = 50  # of at most 4 bytes: a file name has 255, and a part of them is for other things


def slug(name: str) -> str:
    """The name with an underscore for whatever a file name should not have: other names may give the same."""
    return re.sub(r"[^\w-]+", "_", name)[:MAX_LETTERS]


def file_stems(names: Sequence[str]) -> dict[str, str]:
    """Name -> the beginning of its file names, also on disks where upper and lower case are the same.

    Where more than spaces had to be replaced, or two of the names would share it, the name's hash is a part of it.
    """
    shared = Counter(slug(name).casefold() for name in names)
    return {
        name: slug(name)
        if shared[slug(name).casefold()] == 1 and slug(name) == name.replace(" ", "_")
        else f"{slug(name)}-{hashlib.sha256(name.encode()).hexdigest()[:6]}"
        for name in names
    }
