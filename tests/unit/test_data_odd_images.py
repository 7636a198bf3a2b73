"""Good pixels beside broken descriptions, grey values of every depth, and true reasons for what is not read."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.unit.test_data_decode import EXPECTED, encode, photo, pixels, png, reason
from tinycats.preparing.depth import to_eight_bits

UPRIGHT = EXPECTED
STORED = photo().transpose(Image.Transpose.ROTATE_90)  # which orientation 6 makes upright again


def tiff_block(*entries: tuple[int, int, int, bytes]) -> bytes:
    """EXIF of (tag, type, count, value) entries, whatever these are."""
    data, out, start = b"", b"", 8 + 2 + 12 * len(entries) + 4
    for tag, kind, count, value in entries:
        if len(value) > 4:
            out += struct.pack("<HHII", tag, kind, count, start + len(data))
            data += value
        else:
            out += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + out + bytes(4) + data


ORIENTATION = (0x112, 3, 1, struct.pack("<H", 6))
BROKEN_EXIF = {
    "resolution over 0": tiff_block(ORIENTATION, (0x11A, 10, 1, struct.pack("<ii", -1, 0))),
    "negative resolution": tiff_block(ORIENTATION, (0x11A, 10, 1, struct.pack("<ii", -72, 1))),
    "resolution nan": tiff_block(ORIENTATION, (0x11A, 12, 1, struct.pack("<d", float("nan")))),
    "resolution as text": tiff_block(ORIENTATION, (0x11A, 2, 5, b"seventy")),
    "unknown type": tiff_block((0x10F, 99, 1, b"x"), ORIENTATION),
    "value outside": tiff_block(ORIENTATION, (0x10F, 2, 1000, b""), (0x11A, 5, 1, b"")),
    "cut in an entry": tiff_block(ORIENTATION, (0x10F, 2, 4, b"abc"))[:28],
}


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def jpeg_with(image: Image.Image, *segments: bytes) -> bytes:
    content = encode(image, "JPEG", quality=95)
    return content[:2] + b"".join(segments) + content[2:]


def chunk(kind: bytes, data: bytes, damaged: bool = False) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data) ^ damaged)


def png_with(image: Image.Image, extra: bytes) -> bytes:
    content = encode(image, "PNG")
    return content[:33] + extra + content[33:]


@pytest.mark.parametrize("exif", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_broken_exif_costs_neither_image_nor_orientation(exif):
    jpeg = jpeg_with(STORED, segment(0xE1, b"Exif\0\0" + exif))
    assert np.abs(pixels(jpeg) - UPRIGHT).max() <= 8
    assert (pixels(png_with(STORED, chunk(b"eXIf", exif))) == UPRIGHT).all()


@pytest.mark.parametrize(
    "extra",
    [
        segment(0xE2, b"ICC_PROFILE\0\x01\x01" + b"no profile"),
        segment(0xE2, b"ICC_PROFILE\0\x07\x01" + b"part 7 of 1"),
        segment(0xE2, b"MPF\0" + b"II*\0" + bytes(20)),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04\x04" + b"\xff" * 9),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><broken"),
        segment(0xFE, b"\xff\xfe\x00 comment"),
        segment(0xE1, b"Exif\0\0"),
        segment(0xE1, b"Exif\0\0MM\0*" + struct.pack(">I", 2**31)),
    ],
    ids=["icc", "icc part", "mpf", "photoshop", "xmp", "comment", "empty exif", "exif far away"],
)
def test_other_broken_metadata_of_a_jpeg_costs_nothing(extra):
    assert np.abs(pixels(jpeg_with(photo(), extra)) - EXPECTED).max() <= 8


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"eXIf", b"\0\x08"),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"x" * 3_000_000)),
        chunk(b"zTXt", b"Comment\0\x09no compression"),
        chunk(b"tEXt", b"Comment\0x", damaged=True),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<broken"),
        chunk(b"iCCP", b"profile\0\0" + b"not compressed"),
        chunk(b"iCCP", b"profile\0\0" + zlib.compress(b"\0" * 3_000_000)),
        chunk(b"pHYs", b"\0"),
        chunk(b"tIME", b"\0", damaged=True),
        chunk(b"gAMA", b""),
        chunk(b"cHRM", b"\0\0"),
    ],
)
def test_broken_or_long_chunks_of_a_png_cost_nothing(extra):
    assert (pixels(png_with(photo(), extra)) == EXPECTED).all()


@pytest.mark.parametrize("exif", BROKEN_EXIF.values(), ids=BROKEN_EXIF)
def test_broken_exif_of_a_webp(exif):
    container = encode(STORED, "WEBP", lossless=True, exif=b"Exif\0\0" + tiff_block(ORIENTATION))
    start = container.index(b"EXIF")
    (length,) = struct.unpack_from("<I", container, start + 4)
    padded = exif + b"\0" * (len(exif) % 2)
    content = container[:start] + b"EXIF" + struct.pack("<I", len(exif)) + padded
    content = b"RIFF" + struct.pack("<I", len(content) - 8) + content[8:]
    assert length > 0
    assert (pixels(content) == UPRIGHT).all()


@pytest.mark.parametrize("tag", [270, 282, 296, 305, 34675])
def test_broken_tags_of_a_tiff_cost_nothing(tag):
    content = bytearray(
        encode(photo(), "TIFF", description="x" * 9, software="y" * 9, dpi=(72, 72), icc_profile=b"z" * 9)
    )
    (start,) = struct.unpack_from("<I", content, 4)
    (count,) = struct.unpack_from("<H", content, start)
    entry = next(
        at for at in range(start + 2, start + 2 + 12 * count, 12) if struct.unpack_from("<H", content, at) == (tag,)
    )
    for kind, number, value in ((10, 1, 2**31), (12, 2**20, 1), (3, 0, 0), (99, 7, 8)):
        struct.pack_into("<HII", content, entry + 2, kind, number, value)
        assert (pixels(bytes(content)) == EXPECTED).all()


def test_pixels_that_are_broken_too_stay_bad():
    content = jpeg_with(photo(200, 200), segment(0xE1, b"Exif\0\0" + BROKEN_EXIF["negative resolution"]))
    assert reason(content[: len(content) // 2]) in ("truncated", "undecodable")


RAMP = np.linspace(0, 1, 48 * 32).reshape(32, 48)
GREY = np.floor(RAMP * 255.999).astype(int)[..., None]


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_whole_numbers_are_scaled_by_the_depth_that_holds_them(top, kind):
    values = np.round(RAMP * top).astype(np.uint16)
    assert np.abs(pixels(encode(Image.fromarray(values), kind)) - GREY).max() <= 1


@pytest.mark.parametrize("top", [1e-4, 1.0, 255.0, 4095.0, 65535.0, 1e30])
def test_floats_are_scaled_by_their_range(top):
    found = pixels(encode(Image.fromarray((RAMP * top).astype(np.float32)), "TIFF"))
    assert np.abs(found - GREY).max() <= 1


def test_negative_and_missing_values():
    centred = ((RAMP - 0.5) * 2000).astype(np.int32)  # as in tomography
    assert np.abs(pixels(encode(Image.fromarray(centred), "TIFF")) - GREY).max() <= 1
    floats = (RAMP * 1000 - 300).astype(np.float32)
    floats[0, 0], floats[-1, -1] = np.nan, np.inf
    assert np.abs(pixels(encode(Image.fromarray(floats), "TIFF"))[1:-1] - GREY[1:-1]).max() <= 1
    assert reason(encode(Image.fromarray(np.full((32, 32), np.nan, np.float32)), "TIFF")) == "unsupported_depth"
    far = np.array([[-3e38, 3e38]], np.float32)
    assert to_eight_bits(far).tolist() == [[0, 255]]  # type: ignore[union-attr]


def test_a_dark_photo_of_16_bits_stays_dark_and_a_black_one_black():
    assert pixels(encode(Image.fromarray((RAMP * 20000).astype(np.uint16)), "PNG")).max() == 20000 >> 8
    assert pixels(encode(Image.fromarray(np.zeros((32, 32), np.uint16)), "PNG")).max() == 0
    assert pixels(encode(Image.fromarray(np.zeros((32, 32), np.float32)), "TIFF")).max() == 0


def tiff(bits: int, samples: int, kind: int, data: bytes, photometric: int = 2, side: int = 32) -> bytes:
    """An uncompressed TIFF by its specification."""
    tags = [
        (256, 4, 1, struct.pack("<I", side)),
        (257, 4, 1, struct.pack("<I", side)),
        (258, 3, samples, struct.pack(f"<{samples}H", *[bits] * samples)),
        (259, 3, 1, struct.pack("<H", 1)),
        (262, 3, 1, struct.pack("<H", photometric)),
        (273, 4, 1, b"????"),
        (277, 3, 1, struct.pack("<H", samples)),
        (278, 4, 1, struct.pack("<I", side)),
        (279, 4, 1, struct.pack("<I", len(data))),
        (339, 3, samples, struct.pack(f"<{samples}H", *[kind] * samples)),
    ]
    return tiff_block(*tags).replace(b"????", struct.pack("<I", len(tiff_block(*tags)))) + data


def test_twelve_bits_are_not_black():
    values = np.round(RAMP[:, :32] * 4095).astype(int).reshape(-1, 2)
    packed = b"".join(bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist())
    found = pixels(tiff(12, 1, 1, packed, photometric=1))
    assert np.abs(found - GREY[:, :32]).max() <= 1


@pytest.mark.parametrize(
    ("bits", "kind", "dtype"), [(32, 3, np.float32), (64, 3, np.float64), (32, 1, np.uint32)], ids=str
)
def test_colours_of_unread_depths_have_their_reason(bits, kind, dtype):
    assert reason(tiff(bits, 3, kind, np.ones((32, 32, 3), dtype).tobytes())) == "unsupported_depth"


def test_twelve_bits_of_colour_in_sixteen_have_their_reason():
    dark = np.full((32, 32, 3), 4000, np.uint16)
    assert reason(tiff(16, 3, 1, dark.tobytes())) == "unsupported_depth"
    assert (pixels(tiff(16, 3, 1, (dark * 16).tobytes())) == 250).all()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\0\0\0\x18ftypheic" + bytes(500), "unsupported_format"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(500), "unsupported_format"),
        (b"\xff\x0a" + bytes(500), "unsupported_format"),
        (b"8BPS" + bytes(500), "unsupported_format"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git_lfs_pointer"),
        (b"<html>not found</html>", "undecodable"),
        (b"", "undecodable"),
    ],
)
def test_true_reasons(content, expected):
    assert reason(content) == expected


def test_ten_bits_of_colour_in_a_png_of_sixteen_have_their_reason():
    dark = np.full((32, 32, 3), 1000, ">u2")
    lines = b"".join(b"\0" + row.tobytes() for row in dark)
    assert reason(png(32, 32, bits=16, colour=2, lines=lines)) == "unsupported_depth"
    lines = b"".join(b"\0" + row.tobytes() for row in np.full((32, 32, 3), 60000, ">u2"))
    assert (pixels(png(32, 32, bits=16, colour=2, lines=lines)) == 60000 >> 8).all()


@pytest.mark.parametrize(("bits", "kind", "dtype", "top"), [(16, 1, np.uint16, 65535), (32, 3, np.float32, 1)], ids=str)
def test_white_may_be_zero(bits, kind, dtype, top):
    values = (RAMP[:, :32] * top).astype(dtype).tobytes()
    as_usual, inverted = (pixels(tiff(bits, 1, kind, values, photometric=of)) for of in (1, 0))
    assert (inverted == 255 - as_usual).all()


def test_numbers_with_and_without_a_sign_are_not_taken_for_each_other():
    ramp = np.linspace(0, 1, 32 * 32).reshape(32, 32)
    grey = np.floor(ramp * 255.999).astype(int)[..., None]
    large = (ramp * (2**32 - 1)).astype(np.uint32)
    assert np.abs(pixels(tiff(32, 1, 1, large.tobytes(), photometric=1)) - grey).max() <= 1
    small = (ramp * 255 - 128).astype(np.int8)
    assert np.abs(pixels(tiff(8, 1, 2, small.tobytes(), photometric=1)) - grey).max() <= 1


def test_the_transparent_grey_of_sixteen_bits_becomes_white():
    lines = b"".join(b"\0" + np.array([300] * 16 + [60000] * 16, ">u2").tobytes() for _ in range(32))
    content = png(32, 32, bits=16, colour=0, lines=lines)
    found = pixels(content[:33] + chunk(b"tRNS", struct.pack(">H", 300)) + content[33:])
    assert (found[:, :16] == 255).all()
    assert (found[:, 16:] == 60000 >> 8).all()


def test_a_bitmap_without_the_header_of_its_file():
    assert (pixels(encode(photo(), "DIB")) == UPRIGHT).all()
