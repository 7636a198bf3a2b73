"""Every kind of image file becomes the right RGB pixels, or gets the right reason why not."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tinycats.preparing.decode import BadImageError, decode, pixel_digest, to_square


def photo(width: int = 48, height: int = 32) -> Image.Image:
    """Smooth, so that JPEG keeps it, and different at every corner: red grows to the right, green downwards."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 255 - x], axis=-1).astype(np.uint8))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png(width: int, height: int, bits: int = 1, colour: int = 0, lines: bytes = b"") -> bytes:
    """A PNG file by its specification: whatever the header claims, and what Pillow cannot write."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b"")):
        content += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return content


def pixels(content: bytes) -> np.ndarray:
    image = decode(content, min_side_px=1, max_pixels=10**6)
    assert image.mode == "RGB"
    return np.asarray(image).astype(int)


def reason(content: bytes, min_side_px: int = 1, max_pixels: int = 10**6) -> str:
    with pytest.raises(BadImageError) as error:
        decode(content, min_side_px, max_pixels)
    return error.value.reason


EXPECTED = np.asarray(photo()).astype(int)


@pytest.mark.parametrize(
    ("content", "tolerance"),
    [
        (encode(photo(), "PNG"), 0),
        (encode(photo(), "BMP"), 0),
        (encode(photo(), "TIFF"), 0),
        (encode(photo(), "PPM"), 0),
        (encode(photo(), "WEBP", lossless=True), 0),
        (encode(photo(), "JPEG", quality=95), 8),
        (encode(photo(), "JPEG", quality=95, progressive=True), 8),
        (encode(photo().convert("CMYK"), "JPEG", quality=95), 12),
        (encode(photo().convert("CMYK"), "TIFF"), 1),
        (encode(photo(), "GIF"), 30),
        (encode(photo(), "AVIF", quality=95), 12),
    ],
    ids=["png", "bmp", "tiff", "ppm", "webp", "jpeg", "progressive", "cmyk jpeg", "cmyk tiff", "gif", "avif"],
)
def test_formats(content, tolerance):
    assert np.abs(pixels(content) - EXPECTED).max() <= tolerance


def test_greyscale_and_black_and_white():
    grey = photo().convert("L")
    assert (pixels(encode(grey, "PNG")) == np.asarray(grey)[..., None]).all()
    assert set(np.unique(pixels(encode(grey.convert("1"), "PNG")))) == {0, 255}


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 48 * 32).astype(np.uint16).reshape(32, 48)
    for content in (encode(Image.fromarray(ramp), "PNG"), encode(Image.fromarray(ramp), "TIFF")):
        assert (pixels(content) == (ramp >> 8)[..., None]).all()
    assert (pixels(encode(Image.fromarray(ramp.astype(np.int32)), "TIFF")) == (ramp >> 8)[..., None]).all()


def test_sixteen_bit_colour():
    wide = (EXPECTED.astype(">u2") * 257).tobytes()
    lines = b"".join(b"\0" + wide[i : i + 48 * 6] for i in range(0, len(wide), 48 * 6))
    content = png(48, 32, bits=16, colour=2, lines=lines)
    assert (pixels(content) == EXPECTED).all()


def test_transparent_pixels_become_white():
    image = photo().convert("RGBA")
    image.paste((255, 0, 0, 0), (0, 0, 8, 8))
    image.paste((255, 0, 0, 128), (8, 0, 16, 8))
    found = pixels(encode(image, "PNG"))
    assert (found[:8, :8] == 255).all()
    assert np.abs(found[:8, 8:16] - [255, 127, 127]).max() <= 1
    assert (found[8:] == EXPECTED[8:]).all()


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_colours_become_white(kind):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 8, 16))
    found = pixels(encode(image, kind, transparency=0))
    assert (found[:, :8] == 255).all()
    assert (found[:, 8:] == [0, 0, 255]).all()


def test_grey_with_alpha_and_transparent_colour_of_rgb():
    image = Image.new("LA", (16, 16), (0, 0))
    assert (pixels(encode(image, "PNG")) == 255).all()
    assert (pixels(encode(Image.new("RGB", (16, 16), "red"), "PNG", transparency=(255, 0, 0))) == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_undone(orientation):
    """The eight ways to store an upright image, by the definition in EXIF 2.3: where its row 0 and column 0 are."""
    undo = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # Image.Transpose that stores it this way
    stored = photo()
    for step in undo[orientation]:
        stored = stored.transpose(Image.Transpose(step))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.abs(pixels(encode(stored, "JPEG", quality=95, exif=exif)) - EXPECTED).max() <= 8
    assert (pixels(encode(stored, "PNG", exif=exif)) == EXPECTED).all()


def test_animations_give_their_first_frame():
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    for kind in ("GIF", "PNG", "WEBP"):
        content = encode(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)
        assert (pixels(content) == [255, 0, 0]).all()


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9])
def test_truncated_files_are_bad(kind, part):
    content = encode(NOISE, kind)
    assert reason(content[: int(part * len(content))]) in ("truncated", "undecodable")


def test_reasons():
    whole = encode(NOISE, "JPEG")
    assert reason(whole[: len(whole) // 2]) == "truncated"
    assert reason(b"") == "undecodable"
    assert reason(b"<html>not found</html>") == "undecodable"
    assert reason(whole[:100]) in ("truncated", "undecodable")
    assert reason(whole, min_side_px=65) == "too_small"
    assert decode(whole, min_side_px=64, max_pixels=64 * 64).size == (64, 64)
    assert reason(whole, max_pixels=64 * 64 - 1) == "decompression_bomb"


def test_bombs_are_found_in_the_header_before_memory_is_taken():
    assert reason(png(10_000, 10_000), max_pixels=50_000_000) == "decompression_bomb"
    assert reason(png(2**31 - 1, 2**31 - 1), max_pixels=50_000_000) == "decompression_bomb"  # beyond Pillow's own limit


def test_warnings_of_pillow_are_not_shown(recwarn):
    decode(encode(Image.new("L", (1000, 1000)), "PNG"), 1, 10**6)
    decode(encode(Image.new("1", (10_000, 9_000)), "PNG"), 1, 10**9)
    assert not recwarn.list


def test_other_formats_are_not_opened():
    assert reason(encode(NOISE, "EPS")) == "unsupported_format"  # Pillow would start Ghostscript
    assert reason(encode(NOISE, "PDF")) == "unsupported_format"


def test_square_is_the_middle_of_the_image():
    halves = Image.new("RGB", (100, 40), "red")
    halves.paste("blue", (26, 0, 74, 40))
    square = to_square(halves, 20)
    assert square.shape == (20, 20, 3)
    assert square.dtype == np.uint8
    assert (square == [0, 0, 255]).all()
    assert (to_square(halves.transpose(Image.Transpose.ROTATE_90), 20) == [0, 0, 255]).all()
    assert (to_square(photo(32, 32), 32) == np.asarray(photo(32, 32))).all()
    assert to_square(photo(20, 30), 64).shape == (64, 64, 3)


def test_a_stretched_square_is_all_of_the_image():
    halves = Image.new("RGB", (100, 40), "red")
    halves.paste("blue", (50, 0, 100, 40))
    square = to_square(halves, 20, "stretch")
    assert square.shape == (20, 20, 3)
    assert (square[:, :10] == [255, 0, 0]).all()
    assert (square[:, 10:] == [0, 0, 255]).all()


@pytest.mark.parametrize("size", [7, 16, 30, 63])
def test_shrinking_does_not_alias(size):
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255  # of one pixel: grey from afar
    assert np.abs(to_square(Image.fromarray(stripes), size).astype(int) - 127).max() <= 24


def test_digest_is_of_the_pixels_and_their_shape():
    jpeg = decode(encode(photo(), "JPEG"), 1, 10**6)
    copy = decode(encode(jpeg, "PNG"), 1, 10**6)
    assert pixel_digest(jpeg) == pixel_digest(copy)
    changed = copy.copy()
    changed.putpixel((0, 0), (1, 2, 3))
    assert pixel_digest(copy) != pixel_digest(changed)
    assert pixel_digest(Image.new("RGB", (4, 8))) != pixel_digest(Image.new("RGB", (8, 4)))
