"""From the bytes of an image file to RGB pixels, or to the reason why not."""

from __future__ import annotations

import hashlib
import io
import warnings

import numpy as np
from PIL import Image, ImageOps

from tinycats.runtime.params import Fit

BAD_REASONS = ("undecodable", "truncated", "too_small", "decompression_bomb")
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM", "MPO")  # not EPS, for which Pillow starts Ghostscript
ORIENTATION_TAG = 0x0112  # of EXIF
MAX_PIXELS = 100_000_000  # more is treated as a decompression bomb


class BadImageError(Exception):
    """An image that cannot be used; `reason` is one of BAD_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def decode(content: bytes, min_side_px: int = 1, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the image as mode RGB, upright, of its full size, whatever its format is and its name claims.

    Animations give their first frame, transparent pixels become white, 16 bits are scaled to 8. The size is checked
    in the header, before memory is taken for the pixels. Raises BadImageError.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # what they warn of is quarantined or does no harm
            return _decode(content, min_side_px, max_pixels)
    except BadImageError:
        raise
    except Image.DecompressionBombError:  # beyond Pillow's own limit
        raise BadImageError("decompression_bomb") from None
    except Exception as error:  # Pillow's readers raise almost anything on broken files
        raise BadImageError("truncated" if "truncated" in str(error).lower() else "undecodable") from None


def _decode(content: bytes, min_side_px: int, max_pixels: int) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError("decompression_bomb")
    if min(width, height) < min_side_px:
        raise BadImageError("too_small")
    if image.getexif().get(ORIENTATION_TAG, 1) != 1:
        image = ImageOps.exif_transpose(image)
    return _to_rgb(image)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        return image
    if image.mode.startswith("I"):  # 16 or 32 bits: Pillow would clip them at 255
        pixels = np.asarray(image).astype(np.int64)
        shift = 8 if image.mode.startswith("I;16") or pixels.max() > 255 else 0
        return Image.fromarray(np.clip(pixels >> shift, 0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def to_square(image: Image.Image, size_px: int, fit: Fit = "crop") -> np.ndarray:
    """Shrink or enlarge the largest square in the middle, or with `stretch` all of it: uint8 [size_px, size_px, 3].

    Shrinking averages whole blocks of pixels first, so that nothing aliases, then resamples bicubically.
    """
    width, height = image.size if fit == "stretch" else (min(image.size),) * 2
    left, top = (image.width - width) // 2, (image.height - height) // 2
    across, down = max(1, width // size_px), max(1, height // size_px)
    reduced = image.reduce((across, down), (left, top, left + width, top + height))
    if reduced.size != (size_px, size_px):
        # Across, then down: in one call it is Pillow's version that decides the order. The last block may be a part of one.
        box = (0, 0, width / across, reduced.height)
        narrow = reduced.resize((size_px, reduced.height), Image.Resampling.BICUBIC, box=box)
        reduced = narrow.resize((size_px, size_px), Image.Resampling.BICUBIC, box=(0, 0, size_px, height / down))
    return np.asarray(reduced)


def pixel_digest(image: Image.Image) -> bytes:
    """Equal for two images exactly where size and all pixels are (SHA-256)."""
    return hashlib.sha256(f"{image.mode} {image.size}".encode() + image.tobytes()).digest()
