"""From the bytes of an image file to RGB pixels, or to the reason why not."""

from __future__ import annotations

import hashlib
import io
import warnings

import numpy as np
from PIL import Image, TiffImagePlugin

from tinycats.preparing.depth import to_eight_bits
from tinycats.preparing.metadata import ORIENTATION_TAG, orientation_of, without_metadata
from tinycats.runtime.params import Fit
from tinycats.sources.formats import LFS_POINTER, format_of, unread_format

BAD_REASONS = ("undecodable", "truncated", "too_small", "decompression_bomb")
RARE_REASONS = {  # and what can be done
    "unsupported_format": "it is of a format that is not read, such as HEIC: convert it to JPEG",
    "unsupported_depth": "its colours have more bits than are read: convert it to 8 bits",
    "git_lfs_pointer": "it is a pointer of Git LFS: `git lfs pull` gets the image",
}
# Not EPS, for which Pillow starts Ghostscript
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "WEBP", "TIFF", "AVIF", "PPM", "MPO")
MAX_PIXELS = 100_000_000  # more is treated as a decompression bomb
BITS_TAG, PHOTOMETRIC_TAG, SAMPLE_FORMAT_TAG = 258, 262, 339  # of TIFF
WHITE_IS_ZERO, UNSIGNED, SIGNED = 0, 1, 2  # what the latter two may say
PNG_DEPTH = 24  # where a PNG has the bits of a value
DARK = 16  # of 255: no photo is so dark, but 12 bits of 16 are, when the upper 8 are taken
TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # how an image that was stored in this orientation becomes upright


class BadImageError(Exception):
    """An image that cannot be used; `reason` is one of BAD_REASONS or RARE_REASONS."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def explained(self) -> str:
        return RARE_REASONS.get(self.reason, self.reason.replace("_", " "))


def decode(content: bytes, min_side_px: int = 1, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the image as mode RGB, upright, of its full size, whatever its format is and its name claims.

    Animations give their first frame, transparent pixels become white, more bits are scaled to 8 (see tinycats.preparing.depth).
    What only describes the image may be broken. The size is checked in the header, before memory is taken for the pixels. Raises
    BadImageError.
    """
    with warnings.catch_warnings(action="ignore"):  # what they warn of is quarantined or does no harm
        try:
            return _decode(content, min_side_px, max_pixels)
        except (BadImageError, Image.DecompressionBombError) as error:
            raise _bad(error) from None
        except Exception as error:  # Pillow's readers raise almost anything on broken files
            first = error
        try:
            return _decode(without_metadata(content), min_side_px, max_pixels)
        except (BadImageError, Image.DecompressionBombError) as error:
            raise _bad(error) from None
        except Exception:
            raise BadImageError(_reason(content, first)) from None


def _bad(error: BadImageError | Image.DecompressionBombError) -> BadImageError:
    """Pillow has a limit of its own."""
    return error if isinstance(error, BadImageError) else BadImageError("decompression_bomb")


def _reason(content: bytes, error: Exception) -> str:
    if content.startswith(LFS_POINTER):
        return "git_lfs_pointer"
    if unread_format(content):
        return "unsupported_format"
    if "truncated" in str(error).lower():
        return "truncated"
    if format_of(content) == "TIFF":
        try:
            TiffImagePlugin.TiffImageFile(io.BytesIO(content))  # Image.open does not say why
        except SyntaxError as cause:
            return "unsupported_depth" if "pixel mode" in str(cause) else "undecodable"
        except Exception:
            pass
    return "undecodable"


def _decode(content: bytes, min_side_px: int, max_pixels: int) -> Image.Image:
    image: Image.Image = Image.open(io.BytesIO(content), formats=FORMATS)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError("decompression_bomb")
    if min(width, height) < min_side_px:
        raise BadImageError("too_small")
    turned = TURNED.get(_orientation(image))
    upright = _to_rgb(image, content[PNG_DEPTH] if image.format == "PNG" else 8)
    return upright if turned is None else upright.transpose(turned)


def _orientation(image: Image.Image) -> int:
    try:
        found = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # some other entry is broken
        exif = image.info.get("exif", b"")
        return orientation_of(exif) if isinstance(exif, bytes) else 1
    return found if isinstance(found, int) else 1


def _to_rgb(image: Image.Image, bits: int) -> Image.Image:
    """`bits` of a value, if it is no TIFF, which says it itself."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        bits = max(image.tag_v2.get(BITS_TAG, (8,)))
    if image.mode == "RGB" and "transparency" not in image.info:
        image.load()
        if bits > 8 and max(high for _, high in image.getextrema()) < DARK:  # type: ignore[misc]
            raise BadImageError("unsupported_depth")
        return image
    values = _grey_values(image)
    if values is not None:
        grey = to_eight_bits(values, bits if 8 < bits < 16 and image.format == "TIFF" else None)
        if grey is None:
            raise BadImageError("unsupported_depth")
        if _tag(image, PHOTOMETRIC_TAG) == WHITE_IS_ZERO:
            grey = 255 - grey
        if isinstance(transparent := image.info.get("transparency"), int):
            grey = np.where(values == transparent, np.uint8(255), grey)
        return Image.fromarray(grey).convert("RGB")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("RGB")


def _tag(image: Image.Image, number: int) -> object:
    """The first value of a tag of a TIFF."""
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return None
    found = image.tag_v2.get(number)
    return found[0] if isinstance(found, tuple) else found


def _grey_values(image: Image.Image) -> np.ndarray | None:
    """Those of a grey image that Pillow would clip at 255, or take for others than they are; None of every other image."""
    kind = _tag(image, SAMPLE_FORMAT_TAG)
    if image.mode == "L" and kind == SIGNED:
        return np.asarray(image).view(np.int8)
    if not image.mode.startswith(("I", "F")):
        return None
    values = np.asarray(image)
    unsigned = values.dtype == np.int32 and image.format == "TIFF" and kind in (None, UNSIGNED)
    return values.view(np.uint32) if unsigned else values


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
