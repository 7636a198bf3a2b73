"""What describes an image beside its pixels: it may be broken or endless, and cannot cost the image."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

ORIENTATION_TAG = 0x0112  # of EXIF
EXIF_START = b"Exif\0\0"
PNG_START = b"\x89PNG\r\n\x1a\n"
# Description, maker, resolution, software, date, artist, XMP, IPTC, Photoshop, EXIF, colour profile, GPS
TIFF_DESCRIPTIONS = frozenset(
    [270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700, 33723, 34377, 34665, 34675, 34853]
)
PNG_PIXELS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")


def orientation_of(exif: bytes) -> int:
    """The orientation, 1 to 8, in a block of EXIF of which nothing else has to be right; 1 where it says none."""
    tiff = exif.removeprefix(EXIF_START)
    order = ">" if tiff[:2] == b"MM" else "<"
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind = struct.unpack_from(f"{order}HH", tiff, entry)
            if tag == ORIENTATION_TAG:
                (value,) = struct.unpack_from(order + ("I" if kind == 4 else "H"), tiff, entry + 8)
                return int(value) if 1 <= value <= 8 else 1
    except struct.error:  # it is cut off
        pass
    return 1


def without_metadata(content: bytes) -> bytes:
    """A JPEG, PNG or TIFF with its pixels and its orientation alone; other files as they are."""
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg(content)
    if content.startswith(PNG_START):
        return _png(content)
    if content[:4] in (b"II*\0", b"MM\0*"):
        return _tiff(content)
    return content


def _jpeg(content: bytes) -> bytes:
    orientation, kept, position = 1, [], 2
    while content[position : position + 1] == b"\xff" and position + 4 <= len(content):
        marker, (length,) = content[position + 1], struct.unpack_from(">H", content, position + 2)
        if marker == 0xFF:  # of fill
            position += 1
            continue
        if marker == 0xDA or length < 2:  # the pixels begin
            break
        segment = content[position : position + 2 + length]
        if marker == 0xE1 and segment[4:].startswith(EXIF_START):
            orientation = orientation_of(segment[4:])
        # APP0 and APP14 say what the colours are; the other APPs and comments describe
        if not (0xE1 <= marker <= 0xEF and marker != 0xEE) and marker != 0xFE:
            kept.append(segment)
        position += 2 + length
    exif = EXIF_START + _exif(orientation)
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + b"".join(kept) + content[position:]


def _png(content: bytes) -> bytes:
    kept = [(kind, chunk) for kind, chunk in _chunks(content) if kind in PNG_PIXELS]
    orientation = next((orientation_of(chunk[8:-4]) for kind, chunk in _chunks(content) if kind == b"eXIf"), 1)
    header, rest = kept[:1], kept[1:]
    return PNG_START + b"".join(
        [*(chunk for _, chunk in header), _chunk(b"eXIf", _exif(orientation)), *(chunk for _, chunk in rest)]
    )


def _tiff(content: bytes) -> bytes:
    """The first directory without some of its entries, where it was: all else in the file is found by its position."""
    order = ">" if content[:2] == b"MM" else "<"
    try:
        (start,) = struct.unpack_from(f"{order}I", content, 4)
        (count,) = struct.unpack_from(f"{order}H", content, start)
        entries = [content[at : at + 12] for at in range(start + 2, start + 2 + 12 * count, 12)]
        kept = [entry for entry in entries if struct.unpack_from(f"{order}H", entry)[0] not in TIFF_DESCRIPTIONS]
    except struct.error:
        return content
    directory = struct.pack(f"{order}H", len(kept)) + b"".join(kept)
    end = start + 2 + 12 * count
    return content[:start] + (directory + content[end : end + 4]).ljust(end + 4 - start, b"\0") + content[end + 4 :]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = len(PNG_START)
    while position + 8 <= len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        yield kind, content[position : position + 12 + length]
        position += 12 + length


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _exif(orientation: int) -> bytes:
    return b"II*\0" + struct.pack("<IHHHIHHI", 8, 1, ORIENTATION_TAG, 3, 1, orientation, 0, 0)
