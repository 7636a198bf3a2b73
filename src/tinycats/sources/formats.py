"""Which files are images, by name and by content, and which of them are read."""

from __future__ import annotations

from pathlib import PurePosixPath

SUFFIXES = frozenset(
    [".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".webp", ".tif", ".tiff",
     ".avif", ".ppm", ".pgm", ".pbm", ".pnm"]
)  # fmt: skip
# Images, documents and films that nothing here reads
UNREAD_SUFFIXES = frozenset(
    [".heic", ".heif", ".jxl", ".jp2", ".j2k", ".jpx", ".psd", ".xcf", ".svg", ".svgz", ".tga", ".ico", ".eps", ".pdf", ".exr",
     ".hdr", ".dcm", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".mov", ".mp4",
     ".m4v", ".avi", ".webm"]
)  # fmt: skip
READ_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "AVIF")  # of those that their first bytes tell for sure
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
ADVICE = "convert them to JPEG or PNG"

_STARTS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\xff\x0a": "JPEG XL",
    b"\0\0\0\x0cJXL ": "JPEG XL",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"8BPS": "Photoshop",
    b"%PDF": "PDF",
    b"%!PS": "EPS",
}


def is_image_name(path: PurePosixPath) -> bool:
    """Whether the name says that it is an image, of a kind that is read or not."""
    return path.suffix.lower() in SUFFIXES | UNREAD_SUFFIXES


def format_of(content: bytes) -> str | None:
    """What the first bytes say: one of READ_FORMATS, or a format that is told otherwise or not read, or None."""
    for start, name in _STARTS.items():
        if content.startswith(start):
            return name
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        brands = content[8:64]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        return "HEIC" if any(brand in brands for brand in (b"hei", b"hev", b"mif1", b"msf1")) else "film"
    return None


def unread_format(content: bytes) -> str | None:
    """The format of an image that nothing here reads."""
    found = format_of(content)
    return None if found in (*READ_FORMATS, "TIFF") else found
