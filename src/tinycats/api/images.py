"""Images from files, and as the models take them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from tinycats.api.nearest import not_found
from tinycats.preparing.decode import BadImageError, decode, to_square
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import Fit
from tinycats.sources.formats import SUFFIXES

ADDRESS = re.compile(r"https?:/")  # a Path has one slash
Picture = Image.Image | np.ndarray | str | os.PathLike[str]  # an image, uint8 [H, W, 3] RGB, or the name of a file


def load_images(files: str | os.PathLike[str] | Iterable[str | os.PathLike[str]]) -> list[Image.Image]:
    """The images of files in their order, or those of a folder in the order of their names: upright, RGB, of their full size.

    JPEG, PNG, GIF (the first frame), BMP, WebP, TIFF, AVIF and PNM are read. Of a folder, those files count that have the suffix
    of such a format; folders in it do not. Raises UserError for the first file that cannot be read, or where a folder has none.
    """
    if not isinstance(files, (str, os.PathLike)):
        return [load_image(file) for file in files]
    path = Path(files)
    if not path.is_dir():
        return [load_image(path)]
    return [load_image(file) for file in image_files(path)]


def image_files(folder: Path) -> list[Path]:
    """The files of a folder that have the suffix of an image, by name. Raises UserError where there are none."""
    found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        raise UserError(f"{folder}: has no files named *.jpg, *.png or as another image; folders in it do not count")
    return found


def load_image(file: str | os.PathLike[str]) -> Image.Image:
    """One image, upright, RGB, of its full size. Raises UserError where the file cannot be read or is none."""
    if not isinstance(file, (str, os.PathLike)):
        raise UserError(f"an image must be a PIL image, an array or the name of a file, got {type(file).__name__}")
    path = Path(file)
    if ADDRESS.match(str(file)):
        raise UserError(f"{file}: is an address; download the image and name the file")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UserError(f"{path}: is a pipe, socket or device, and no image")
    try:
        return decode(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: {not_found(path)}") from None
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except BadImageError as error:
        raise UserError(f"{path}: is not a readable image ({error.explained})") from None


def square_of(picture: Picture, size_px: int, fit: Fit) -> np.ndarray:
    """uint8 [size_px, size_px, 3], prepared as for training. Raises UserError where it is no picture."""
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise UserError(f"an array must be uint8 [H, W, 3], got {picture.dtype} {list(picture.shape)}")
        picture = Image.fromarray(picture)
    elif not isinstance(picture, Image.Image):
        picture = load_image(picture)
    return to_square(picture.convert("RGB"), size_px, fit)
