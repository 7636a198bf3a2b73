"""Parts of messages."""

from __future__ import annotations

from collections.abc import Sequence


def some(items: Sequence[str], shown: int = 3, separator: str = ", ") -> str:
    """The first `shown` of the items, and how many more there are."""
    more = f" and {len(items) - shown} more" if len(items) > shown else ""
    return separator.join(items[:shown]) + more
