"""A folder of photos of one animal, prepared as preprocess prepares a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tinycats.preparing.cat_faces import cut, find_cat_faces
from tinycats.preparing.decode import BadImageError, decode, pixel_digest, to_square
from tinycats.preparing.faces import MIN_WEIGHT
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import Fit, View

MIN_SIDE_PX = 32


@dataclass(frozen=True)
class Photos:
    """`images` uint8 [N, S, S, 3]; `names` of their files; `left_out`: name and reason of each file that is not used."""

    images: np.ndarray
    names: list[str]
    left_out: list[str]


def read_photos(folder: Path, size_px: int, fit: Fit, view: View) -> Photos:
    """The images in a folder (not in folders below it), or the faces in them, as squares of size_px, in the order of their names.

    Hidden files do not count. Raises UserError if there is no folder, or no image or face in it.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: {'is not a folder' if folder.exists() else 'not found'}; it must be a folder of photos"
        )
    images: list[np.ndarray] = []
    names: list[str] = []
    left_out: list[str] = []
    seen: dict[bytes, str] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_file():
            continue
        try:
            image = decode(path.read_bytes(), MIN_SIDE_PX)
        except BadImageError as error:
            left_out.append(f"{path.name} ({error.explained})")
            continue
        if (same := seen.setdefault(pixel_digest(image), path.name)) != path.name:
            left_out.append(f"{path.name} (the same image as {same})")
            continue
        if view == "photo":
            images.append(to_square(image, size_px, fit))
        elif (faces := find_cat_faces(image, 1)) and faces[0].weight >= MIN_WEIGHT:
            images.append(cut(image, faces[0].square, size_px))
        else:
            left_out.append(f"{path.name} (no face)")
            continue
        names.append(path.name)
    if not images:
        found = f"; left out: {', '.join(left_out)}" if left_out else ""
        raise UserError(f"{folder}: has no photos{' of faces' if view == 'face' else ''}{found}")
    return Photos(np.stack(images), names, left_out)
