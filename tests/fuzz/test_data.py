"""Images, archives and names: no traceback, nothing half-written."""

from __future__ import annotations

import io
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.fuzz.damage import damaged, one_line_at_most
from tests.unit.test_data_names import make_unflagged_zip
from tinycats.commands.file_names import file_stems
from tinycats.data.raw import has_text_only, read_raw
from tinycats.figures.fonts import shown_names
from tinycats.preparing.decode import BAD_REASONS, RARE_REASONS, BadImageError, decode, to_square
from tinycats.sources.image_folder import LeftOut, image_folder
from tinycats.sources.merge import write_merged
from tinycats.sources.names import escaped, tidy_name

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 48, 3), dtype=np.uint8))
GREY = np.random.default_rng(1).random((40, 48))


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112], found[0x010F], found[0x011A] = 6, "maker", 72.0
    return found


IMAGES = [
    encode(NOISE, "JPEG", exif=exif(), dpi=(72, 72), icc_profile=b"x" * 200),
    encode(NOISE, "JPEG", progressive=True),
    encode(NOISE.convert("CMYK"), "JPEG"),
    encode(NOISE, "PNG", exif=exif()),
    encode(NOISE.convert("P"), "PNG", transparency=0),
    encode(NOISE.convert("RGBA"), "PNG"),
    encode(NOISE, "GIF", save_all=True, append_images=[NOISE]),
    encode(NOISE, "BMP"),
    encode(NOISE, "WEBP", exif=exif()),
    encode(NOISE, "WEBP", lossless=True),
    encode(NOISE, "TIFF", compression="tiff_lzw", exif=exif()),
    encode(NOISE, "AVIF"),
    encode(NOISE, "PPM"),
    encode(NOISE, "MPO", save_all=True, append_images=[NOISE]),
    encode(Image.fromarray((GREY * 65535).astype(np.uint16)), "PNG"),
    encode(Image.fromarray((GREY * 65535).astype(np.uint16)), "TIFF"),
    encode(Image.fromarray(GREY.astype(np.float32)), "TIFF"),
    encode(Image.fromarray((GREY * 1e6).astype(np.int32)), "TIFF"),
]


def check_image(content: bytes) -> None:
    """It is read whole, or one of the reasons says why not."""
    try:
        image = decode(content, 1, 50_000_000)
    except BadImageError as error:
        reason = error.reason
    else:
        reason = "" if image.mode == "RGB" and to_square(image, 16).shape == (16, 16, 3) else "no image"
    assert reason in ("", *BAD_REASONS, *RARE_REASONS)


@given(st.sampled_from(IMAGES).flatmap(damaged))
def test_images(content: bytes) -> None:
    check_image(content)


@given(st.binary(max_size=3000))
def test_any_bytes_as_an_image(content: bytes) -> None:
    for start in (b"", b"\xff\xd8\xff\xe1", b"\x89PNG\r\n\x1a\n", b"II*\0", b"GIF89a", b"RIFF\0\0\0\0WEBPVP8X", b"BM"):
        check_image(start + content)


FILES = {
    f"pets/{s}/{c}/{i}.jpg": bytes([i]) * 700 for s in ("train", "test") for c in ("café", "dog") for i in range(3)
}


def packed(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=file, mode=f"w:{kind}", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
            for name, content in FILES.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


ARCHIVES = [packed(kind) for kind in ("zip", "zip", "", "", "gz", "xz", "bz2")]


def fetch(directory: Path, source: Path) -> None:
    """All or nothing: every file is an image or has a reason, or one line says why there is none."""
    left_out: list[LeftOut] = []
    raw = directory / "raw"
    counts = {}
    with one_line_at_most():
        counts = write_merged(raw, [("source", image_folder(source, left_out))])
    if not counts:
        assert [path for path in directory.iterdir() if path != source] == []
        return
    images = list(read_raw(raw))
    assert len(images) == counts["total"]
    assert all(has_text_only(image.name) and has_text_only(image.class_name) for image in images)
    assert all(has_text_only(file.name) and file.reason for file in left_out)


@given(st.sampled_from(ARCHIVES).flatmap(damaged))
def test_archives(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "source"
        source.write_bytes(content)
        fetch(Path(directory), source)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=30), st.binary(min_size=1, max_size=30)), min_size=1, max_size=4)
)
def test_any_bytes_as_names_in_a_zip(names: list[tuple[bytes, bytes]]) -> None:
    files = {b"0001/%b/%b.jpg" % (folder, file): b"x" for folder, file in names} | {b"0001/dog/1.jpg": b"y"}
    with tempfile.TemporaryDirectory() as directory:
        fetch(Path(directory), make_unflagged_zip(Path(directory) / "source", files))


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5, unique=True))
def test_names(names: list[str]) -> None:
    for name in names:
        assert tidy_name(tidy_name(name)) == tidy_name(name)
        assert has_text_only(escaped(name))
        assert escaped(escaped(name)) == escaped(name)
    stems = [stem.casefold() for stem in file_stems([escaped(name) for name in names]).values()]
    assert len(set(stems)) == len({escaped(name) for name in names})
    assert all("/" not in stem and "\0" not in stem and len(stem.encode()) < 230 for stem in stems)
    assert len(shown_names(names)) == len(names)
