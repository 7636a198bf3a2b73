"""Reading a directory, tar or zip alike: which files it holds, and each one's bytes on demand.

Archives are not trusted: nothing is extracted to disk, and a member that points outside the archive, is a link or a
device, or is too big for an image, ends the reading with one line that names it.
"""

from __future__ import annotations

import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from tinycats.runtime.errors import UserError

MAX_MEMBER_BYTES = 2**28
MAX_DEPTH = 8  # of directories: ends a walk into a link that points back up

BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, lzma.LZMAError, NotImplementedError)


@dataclass(frozen=True)
class Member:
    """A file or directory; `path` is relative to what holds it."""

    path: PurePosixPath
    is_directory: bool
    read: Callable[[], bytes]


@contextmanager
def open_members(source: Path) -> Iterator[list[Member]]:
    """Yield the members of a directory (sorted) or archive (as stored; read them in that order, else it is slow).

    Hidden files and what macOS and Windows leave behind are left out. Raises UserError, naming the source and the
    member, where the source is missing, empty, truncated or no archive, or a member is not to be trusted.
    """
    if not source.exists():
        raise UserError(f"{source}: not found; name a directory, tar or zip")
    if source.is_file() and source.stat().st_size == 0:
        raise UserError(f"{source}: is an empty file")
    try:
        if source.is_dir():
            yield _visible(_walk(source, PurePosixPath()))
        elif _begins_like_zip(source):
            with zipfile.ZipFile(source) as archive:
                yield _visible([_zip_member(source, archive, info) for info in archive.infolist()])
        else:
            with _open_tar(source) as tar:
                members = [_tar_member(source, tar, info) for info in tar]
                _check_end(tar)
                yield _visible(members)
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the content (gzip, bz2)
            raise
        reason = str(error) or type(error).__name__
        raise UserError(f"{source}: the archive is truncated or damaged ({reason})") from None


def _walk(directory: Path, relative: PurePosixPath) -> Iterator[Member]:
    for path in sorted(directory.iterdir()):
        member = Member(relative / path.name, path.is_dir(), path.read_bytes)
        yield member
        if member.is_directory and len(member.path.parts) < MAX_DEPTH and not path.name.startswith("."):
            yield from _walk(path, member.path)


def _visible(members: list[Member] | Iterator[Member]) -> list[Member]:
    return [member for member in members if member.path.parts and not any(map(_is_clutter, member.path.parts))]


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _begins_like_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _zip_member(source: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was not made on Unix
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{source}: {info.filename!r} is a link or device, not a file; pack real files")
    if info.flag_bits & 1:
        raise UserError(f"{source}: {info.filename!r} is encrypted; pack without a password")
    path = _checked(source, info.orig_filename, info.file_size)
    return Member(path, info.is_dir(), lambda: archive.read(info))


def _open_tar(source: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(source, "r:*")
    except tarfile.ReadError:
        raise UserError(f"{source}: is not a directory, tar (.gz, .xz, .bz2) or zip, or its start is damaged") from None


def _tar_member(source: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    if not (info.isreg() or info.isdir()):
        raise UserError(f"{source}: {info.name!r} is a link or device, not a file; pack real files")
    path = _checked(source, info.name, info.size)

    def read() -> bytes:
        file = tar.extractfile(info)
        content = file.read() if file else b""
        if len(content) != info.size:
            raise tarfile.ReadError(f"{info.name!r} ends early")
        return content

    return Member(path, info.isdir(), read)


def _checked(source: Path, name: str, size: int) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or name[1:3] == ":/":
        raise UserError(f"{source}: {name!r} points outside the archive; refused")
    if size > MAX_MEMBER_BYTES:
        raise UserError(f"{source}: {name!r} has {size} bytes; the limit is {MAX_MEMBER_BYTES}")
    return path


def _check_end(tar: tarfile.TarFile) -> None:
    """tarfile takes a file that was cut between two members for a whole one: look for the block of zeros at the end."""
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    while file.read(2**20):  # to the last byte, where gzip and xz hold their check sums
        pass
