"""Bytes and values that were damaged at random, and what every reader may answer: a result, or one line."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import strategies as st

from tinycats.runtime.errors import UserError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with some bytes set at random, mostly near its beginning, and perhaps cut off or repeated."""
    changed = bytearray(content)
    end = draw(st.sampled_from([64, 512, len(content)]))
    for position, value in draw(
        st.lists(st.tuples(st.integers(0, min(end, len(content)) - 1), st.integers(0, 255)), max_size=8)
    ):
        changed[position] = value
    if draw(st.booleans()):
        del changed[draw(st.integers(0, len(changed))) :]
    return bytes(changed) * draw(st.sampled_from([1, 1, 1, 2]))


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """Nested dictionaries and lists in which some values are others, or missing."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        place, key = _somewhere(draw, content)
        if place is None:
            return draw(VALUES)
        if draw(st.booleans()) and isinstance(place, dict):
            del place[key]
        else:
            place[key] = draw(VALUES)
    return content


def _somewhere(draw: st.DrawFn, content: Any) -> tuple[Any, Any]:
    place, key = None, None
    while isinstance(content, dict | list) and content:
        if place is not None and draw(st.integers(0, 3)) == 0:
            break
        place = content
        key = draw(st.sampled_from(sorted(content, key=str) if isinstance(content, dict) else range(len(content))))
        content = content[key]
    return place, key


@contextmanager
def one_line_at_most() -> Iterator[None]:
    """What fails in here does so with a UserError of one line."""
    try:
        yield
    except UserError as error:
        if not str(error) or "\n" in str(error):
            raise AssertionError("an error of many lines or none") from error
