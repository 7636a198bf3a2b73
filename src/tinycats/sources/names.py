"""Names as people compare them: one word is one name, however a keyboard, a disk or an archive has written it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from tinycats.data.raw import NO_TEXT

# Soft hyphen, zero-width space, marks and overrides of direction, word joiner, byte order mark. Not the two joiners U+200C and
# U+200D, which Persian, Indic scripts and emoji cannot be written without.
_INVISIBLE = re.compile("[\u00ad\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")


def tidy_name(name: str) -> str:
    """The name composed (NFC), without what nobody sees, every run of spaces of any kind as one space.

    What is no text (see has_text_only) stays as it is.
    """
    composed = unicodedata.normalize("NFC", _INVISIBLE.sub("", name))
    return " ".join(re.split(r"[^\S\x00-\x1f\x85\u2028\u2029]+", composed)).strip(" \u200c\u200d")


def escaped(name: str) -> str:
    r"""The name composed, and with what is no text as \xe9 or \n."""
    return "".join(
        character if unicodedata.category(character) not in NO_TEXT else _escape(character)
        for character in unicodedata.normalize("NFC", name)
    )


def alike_but_for_case(names: Iterable[str]) -> list[tuple[str, str]]:
    """Pairs of names that differ in upper and lower case alone."""
    first: dict[str, str] = {}
    return [(earlier, name) for name in sorted(names) if (earlier := first.setdefault(name.casefold(), name)) != name]


def _escape(character: str) -> str:
    byte = ord(character) - 0xDC00  # as surrogateescape hides a byte that is no UTF-8
    return f"\\x{byte:02x}" if 0x80 <= byte <= 0xFF else character.encode("unicode_escape").decode()
