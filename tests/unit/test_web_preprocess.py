"""The web page resamples pictures as to_square does: frontend/src/lib/preprocess.test.ts has the same hashes to meet."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tinycats.preparing.decode import to_square

CASES = json.loads((ROOT / "frontend/src/lib/preprocess.golden.json").read_text())


def noise(width: int, height: int) -> np.ndarray:
    """uint8 [height, width, 3] from a generator that is three lines in any language (Numerical Recipes' LCG)."""
    state, values = width, []
    for _ in range(width * height * 3):
        state = (state * 1664525 + 1013904223) % 2**32
        values.append(state >> 24)
    return np.array(values, np.uint8).reshape(height, width, 3)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['width']}x{case['height']}to{case['size']}")
def test_the_page_has_the_hash_of_what_to_square_gives(case: dict[str, Any]) -> None:
    picture = Image.fromarray(noise(case["width"], case["height"]))
    square = to_square(picture, case["size"], "stretch")
    assert hashlib.sha256(np.ascontiguousarray(square).tobytes()).hexdigest() == case["sha256"]
    if case["width"] == case["height"]:
        assert (to_square(picture, case["size"], "crop") == square).all()
