"""Parts of messages."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence

NEAREST = 3


def some(items: Sequence[str], shown: int = 3, separator: str = ", ") -> str:
    """The first `shown` of the items, and how many more there are."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return separator.join(items[:shown]) + more


def nearest_names(name: str, valid: Collection[str]) -> list[str]:
    """Up to three of the valid names, the most similar first; upper and lower case are the same."""
    by_lower = {candidate.lower(): candidate for candidate in sorted(valid)}
    return [by_lower[match] for match in difflib.get_close_matches(name.lower(), by_lower, n=NEAREST)]


def did_you_mean(names: Sequence[str]) -> str:
    """The end of a message about a name that is unknown: empty where there is none to offer."""
    if not names:
        return ""
    offered = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    return f"; did you mean {offered}?"
