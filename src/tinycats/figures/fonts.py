"""Letters on images: matplotlib's own font, a font of the system for what it lacks, else the number of the name."""

from __future__ import annotations

import logging
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font

from tinycats.runtime.words import some

# Knows Latin, Greek and Cyrillic letters
FONT_PATH = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
MAX_LETTERS = 40  # of a name on an image
UNSEEN = ("Cf", "Mn", "Me", "Zs")  # joiners, marks that fonts put together, spaces

log = logging.getLogger(__name__)


def shown_names(names: Sequence[str]) -> list[str]:
    """The names as an image can show them: long ones shortened, and those that no font here can write as #number.

    A warning says which number is whose.
    """
    return list(_shown_names(tuple(names)))


@cache
def _shown_names(names: tuple[str, ...]) -> tuple[str, ...]:
    unwritten = {f"#{number}": name for number, name in enumerate(names) if font_of(name) is None}
    if unwritten:
        legend = some([f"{number} = {name}" for number, name in unwritten.items()], len(names))
        log.warning(
            "no font here can write all names; the figures show numbers: %s (install fonts-noto-cjk or such)", legend
        )
    return tuple(f"#{number}" if f"#{number}" in unwritten else shortened(name) for number, name in enumerate(names))


def shortened(text: str) -> str:
    return text if len(text) <= MAX_LETTERS else f"{text[: MAX_LETTERS - 1]}…"


def font_of(text: str) -> Path | None:
    """A font that has all letters of the text, the usual one if it does."""
    needed = frozenset(ord(letter) for letter in text if unicodedata.category(letter) not in UNSEEN)
    return FONT_PATH if needed <= _letters(FONT_PATH) else _system_font(needed)


def writable(text: str) -> str:
    """The text with a question mark for each letter that the usual font lacks."""
    known = _letters(FONT_PATH)
    return "".join(letter if ord(letter) in known or letter == "\n" else "?" for letter in text)


@cache
def _system_font(needed: frozenset[int]) -> Path | None:
    for path in sorted(map(Path, font_manager.findSystemFonts())):
        if needed <= _letters(path):
            return path
    return None


@cache
def _letters(path: Path) -> frozenset[int]:
    """The code points that a font can draw at any size; none where it cannot be read."""
    try:
        font = FT2Font(str(path))
    except (RuntimeError, OSError):
        return frozenset()
    return frozenset(font.get_charmap()) if font.scalable else frozenset()
