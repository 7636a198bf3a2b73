"""The second view of the data: one square around the face in each photo that shows one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from tinycats.backbones.features import BATCH_SIZE, FEATURE_SIZE, FrozenFeatures, features_of
from tinycats.data.raw import RawImage, read_raw
from tinycats.preparing.cat_faces import Candidate, around, cut, find_cat_faces
from tinycats.preparing.decode import decode
from tinycats.preparing.heads import best_of_photos, head_scores, not_head
from tinycats.runtime.parallel import map_in_order
from tinycats.runtime.params import FaceSource
from tinycats.runtime.track import track

CANDIDATES = 3  # squares of a photo that the probe chooses from
BOX_MARGIN = 1.2  # times a head's box that came with the data
BOX_WEIGHT = 1e6  # surer than any detector's
MIN_HEAD_SCORE = 0.3  # of the squares that it refuses most are heads too, seen from the side or cut off
MIN_WEIGHT = 0.8  # of the detector, where there is no probe: nearly all above it are faces
WITHOUT = "-S preprocess.features=null"


@dataclass(frozen=True)
class Faces:
    """The best candidate of each photo that has one, in the order of the photos' names.

    `names` of the photos; `pixels`: uint8 [M, S, S, 3] of all candidates, on disk; `rows` [N]: which of them are the best;
    `scores` [N]: the probability that it is a head, or the detector's weight; `good` [N]: whether it is taken for one.
    """

    names: list[str]
    pixels: np.ndarray
    rows: np.ndarray
    scores: np.ndarray
    good: np.ndarray


@dataclass(frozen=True)
class Searched:
    """What the search in one photo gave: its candidates' weights, and squares as the generator and as the probe see them.

    `faces` uint8 [n, S, S, 3] and `squares` [n, FEATURE_SIZE, FEATURE_SIZE, 3] of the candidates, `others` [m, ...] of no heads.
    """

    name: str
    weights: list[float]
    faces: np.ndarray
    squares: np.ndarray
    others: np.ndarray


def find_faces(
    raw_dir: Path,
    names: Collection[str],
    source: FaceSource,
    size: int,
    arch: str | None,
    max_pixels: int,
    spool_path: Path,
) -> Faces:
    """The faces in the photos `names` of the raw data, on all cores, as squares of `size` pixels.

    `boxes`: around the heads' boxes that came with the data, and as `cat_face` in photos without; `cat_face`: of the detector's
    candidates the one that a probe on the frozen features of `arch` is surest of, or without it the detector itself. Their
    pixels are at `spool_path`. Raises UserError where OpenCV or the features cannot be had.
    """
    frozen = FrozenFeatures(arch, WITHOUT) if arch else None
    photos: list[str] = []
    weights: list[float] = []
    of_candidates, of_others = (
        _Features(frozen, spool_path.with_suffix(f".{kind}")) for kind in ("candidates", "others")
    )
    work = partial(_search, source=source, size=size, max_pixels=max_pixels, probed=frozen is not None)
    with spool_path.open("wb") as spool:
        searched = map_in_order(work, read_raw(raw_dir, names))
        for found in track(searched, "looking for faces", len(names)):
            photos += [found.name] * len(found.weights)
            weights += found.weights
            spool.write(found.faces.tobytes())
            of_candidates.add(found.name, found.squares)
            of_others.add(found.name, found.others)
    if not photos:
        of_candidates.remove()
        of_others.remove()
        nothing = np.zeros(0, int)
        return Faces([], np.zeros((0, size, size, 3), np.uint8), nothing, np.zeros(0), np.zeros(0, bool))
    number = {name: row for row, name in enumerate(sorted(set(photos)))}
    of_photo = np.array([number[name] for name in photos])
    scores, least = np.array(weights), MIN_WEIGHT
    if frozen is not None:
        others = np.array([number[name] for name in of_others.photos], dtype=int)
        by_probe = head_scores(of_candidates.matrix(), np.array(weights), of_photo, of_others.matrix(), others)
        if by_probe is not None:
            scores, least = np.where(np.array(weights) == BOX_WEIGHT, 1.0, by_probe), MIN_HEAD_SCORE
    of_candidates.remove()
    of_others.remove()
    best = np.flatnonzero(best_of_photos(scores, of_photo))
    pixels = np.memmap(spool_path, np.uint8, "r", shape=(len(photos), size, size, 3))
    return Faces([photos[row] for row in best], pixels, best, scores[best], scores[best] >= least)


class _Features:
    """Features of squares, computed as enough for a batch have come and written to the file `path`: memory stays flat."""

    def __init__(self, frozen: FrozenFeatures | None, path: Path) -> None:
        self.frozen, self.photos, self.path = frozen, list[str](), path
        self._waiting: list[np.ndarray] = []
        self.path.unlink(missing_ok=True)

    def add(self, photo: str, squares: np.ndarray) -> None:
        if self.frozen is not None:
            self.photos += [photo] * len(squares)
            self._waiting += list(squares)
            if len(self._waiting) >= BATCH_SIZE:
                self._compute()

    def matrix(self) -> np.ndarray:
        """float32 [N, C] of all squares, on disk, in the order in which they came."""
        if self._waiting:
            self._compute()
        if not self.photos:
            return np.zeros((0, 0), np.float32)
        return np.memmap(self.path, np.float32, "r").reshape(len(self.photos), -1)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def _compute(self) -> None:
        assert self.frozen is not None
        with self.path.open("ab") as file:
            file.write(features_of(self.frozen, np.stack(self._waiting)).tobytes())
        self._waiting = []


def _search(image: RawImage, source: FaceSource, size: int, max_pixels: int, probed: bool) -> Searched:
    decoded = decode(image.content, max_pixels=max_pixels)
    if source == "boxes" and image.box is not None:
        candidates = [Candidate(around(*image.box, BOX_MARGIN), BOX_WEIGHT)]
    else:
        candidates = find_cat_faces(decoded, CANDIDATES)
    squares = [candidate.square for candidate in candidates]
    others = [not_head(image.name, *decoded.size, squares)] if probed and squares else []
    return Searched(
        image.name,
        [candidate.weight for candidate in candidates],
        *(
            np.stack([cut(decoded, square, px) for square in some]) if some else np.zeros((0, px, px, 3), np.uint8)
            for some, px in ((squares, size), (squares if probed else [], FEATURE_SIZE), (others, FEATURE_SIZE))
        ),
    )
