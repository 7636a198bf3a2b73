"""Where cats' faces may be in a photo: OpenCV's two cascades for cats' faces, which come with its 4.x wheels.

The settings find something in about 70% of photos of cats, most of it faces. Larger pictures, finer steps or boxes that must
agree found fewer or took twice as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from tinycats.preparing.decode import to_square
from tinycats.runtime.errors import UserError

CASCADES = ("haarcascade_frontalcatface.xml", "haarcascade_frontalcatface_extended.xml")
SIDE_PX = 160  # of the short side that is searched: more takes longer and finds few more
MIN_FACE_PX = 24
SCALE_STEP = 1.08
NEIGHBOURS = 1  # boxes that agree: few, since a probe looks at what is found
MARGIN = 1.5  # a cascade's box ends at the cheeks: its square has ears and chin too
RAISED = 0.05  # of the box: ears reach higher than chins hang
SAME_FACE = 0.3  # overlap, as intersection over union, from which two boxes are of one face


@dataclass(frozen=True)
class Square:
    """A square of a photo, in its pixels; it may reach beyond the borders."""

    left: float
    top: float
    side: float

    def overlap(self, other: Square) -> float:
        """Intersection over union."""
        width = min(self.left + self.side, other.left + other.side) - max(self.left, other.left)
        height = min(self.top + self.side, other.top + other.side) - max(self.top, other.top)
        common = max(width, 0) * max(height, 0)
        return common / (self.side**2 + other.side**2 - common)


@dataclass(frozen=True)
class Candidate:
    """What may be a face; `weight` is the cascade's, the larger the surer (about -1 to 8)."""

    square: Square
    weight: float


def find_cat_faces(image: Image.Image, count: int) -> list[Candidate]:
    """At most `count` candidates in an RGB image, the surest first; of boxes on one face the surest.

    Raises UserError where OpenCV is not installed.
    """
    factor = max(1.0, min(image.size) / SIDE_PX)
    searched = image.convert("L")
    if factor > 1:
        searched = searched.resize((round(image.width / factor), round(image.height / factor)), reducing_gap=2.0)
    grey = np.asarray(searched)
    found: list[Candidate] = []
    for cascade in _cascades():
        boxes, _, weights = cascade.detectMultiScale3(
            grey,
            scaleFactor=SCALE_STEP,
            minNeighbors=NEIGHBOURS,
            minSize=(MIN_FACE_PX, MIN_FACE_PX),
            outputRejectLevels=True,
        )
        for (left, top, side, _), weight in zip(boxes, weights, strict=True):
            square = around(left * factor, top * factor, side * factor, side * factor, MARGIN)
            found.append(Candidate(square, float(weight)))
    kept: list[Candidate] = []
    for candidate in sorted(found, key=lambda candidate: -candidate.weight):
        if len(kept) < count and all(candidate.square.overlap(other.square) < SAME_FACE for other in kept):
            kept.append(candidate)
    return kept


def around(left: float, top: float, width: float, height: float, margin: float) -> Square:
    """The square of a box: `margin` times its longer side, and a little higher."""
    side = max(width, height)
    return Square(left + width / 2 - margin * side / 2, top + height / 2 - (margin / 2 + RAISED) * side, margin * side)


def cut(image: Image.Image, square: Square, size_px: int) -> np.ndarray:
    """The square as uint8 [size_px, size_px, 3]; what lies beyond the borders is reflected."""
    side = max(1, round(square.side))
    rows = _reflected(round(square.top), side, image.height)
    columns = _reflected(round(square.left), side, image.width)
    top, left = int(rows.min()), int(columns.min())
    inside = image.crop((left, top, int(columns.max()) + 1, int(rows.max()) + 1))
    return to_square(Image.fromarray(np.asarray(inside)[np.ix_(rows - top, columns - left)]), size_px)


def _reflected(start: int, length: int, size: int) -> np.ndarray:
    """Positions start ... start + length - 1 of an axis, reflected at 0 and size - 1 without repeating those."""
    last = size - 1
    if last == 0:
        return np.zeros(length, dtype=int)
    return last - np.abs(last - np.arange(start, start + length) % (2 * last))


@cache
def _cascades() -> tuple[Any, ...]:
    try:
        import cv2
    except ImportError:
        raise UserError(
            "preprocess.face: cat_face needs OpenCV 4: pip install 'tinycats[faces]', or do without: -S preprocess.face=null "
            "-S dit.view=photo"
        ) from None
    cv2.setNumThreads(1)  # the photos are shared among the cores
    directory = getattr(getattr(cv2, "data", None), "haarcascades", "")
    cascades = tuple(cv2.CascadeClassifier(directory + name) for name in CASCADES) if directory else ()
    if not cascades or any(cascade.empty() for cascade in cascades):
        raise UserError(
            f"preprocess.face: OpenCV {cv2.__version__} has no cascades for cats, as 4.x has: pip install 'tinycats[faces]'"
        )
    return cascades
