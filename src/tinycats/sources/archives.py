"""Reading a directory, tar or zip alike: which files it holds, and each one's bytes on demand.

Archives are not trusted: nothing is extracted to disk, and a member that points outside the archive, is a link or a
device, or is too big for an image, ends the reading with one line that names it. So do too many members, and an archive that
would become far larger than it is; a folder has neither limit. Names are UTF-8, whatever an archive claims; bytes that are none
stand in them as surrogates, as in names of the disk.
"""

from __future__ import annotations

import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NoReturn

from tinycats.runtime.errors import UserError
from tinycats.runtime.track import track

MAX_MEMBER_BYTES = 2**28
MAX_MEMBERS = 500_000  # of an archive, whose list is kept in memory
# Unpacked, an archive may have so many bytes, or so many times its own: pictures shrink little
UNPACKED_BYTES, UNPACKED_TIMES = 2**30, 100
MAX_TAR_HEADER_BYTES = 2**16  # of a long name or of other properties of a member
MAX_TAR_PROPERTIES = 100  # that hold for all members; git archives have one
ZIP_ENTRY_BYTES = 128  # of a member in the list of a zip, on average at most
INSTEAD = "unpack it and name the folder"
ZIP_END, ZIP64_LOCATOR = b"PK\x05\x06", b"PK\x06\x07"
UTF8_FLAG = 0x800  # of a name in a zip
UNICODE_PATH = 0x7075  # a field of a member of a zip
MAX_NAME_LETTERS = 4096
# What computers and disks on a network keep beside the files of people
SYSTEM_NAMES = frozenset(
    ["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "#recycle", "#snapshot", "$recycle.bin", "recycler",
     "system volume information", "lost+found"]
)  # fmt: skip

HEADERS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip

BROKEN = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, NotImplementedError, ValueError,
    OverflowError, RuntimeError, IndexError,
)  # fmt: skip


@dataclass(frozen=True)
class Member:
    """A file or directory; `path` is relative to what holds it. `problem`: why a file cannot be read, if it cannot."""

    path: PurePosixPath
    is_directory: bool
    read: Callable[[], bytes]
    problem: str | None = None

    @property
    def is_clutter(self) -> bool:
        """Whether it is hidden, or made by a system and not by people, or lies in such a folder."""
        return any(name.startswith(".") or name.lower() in SYSTEM_NAMES for name in self.path.parts)


@contextmanager
def open_members(source: Path) -> Iterator[list[Member]]:
    """Yield the members of a directory (sorted) or archive (as stored; read them in that order, else it is slow).

    Raises UserError, naming the source and the member, where the source is missing, empty, truncated or no archive, or a
    member is not to be trusted.
    """
    if "://" in str(source) or str(source).startswith(("http:/", "https:/", "s3:/")):
        raise UserError(f"{source}: is an address; download it first and name the file")
    if not source.exists():
        raise UserError(f"{source}: not found{_where(source)}; name a directory, tar or zip")
    if not (source.is_file() or source.is_dir()):
        raise UserError(f"{source}: is a pipe, socket or device; name a directory, tar or zip")
    packed = source.stat().st_size
    if source.is_file() and packed == 0:
        raise UserError(f"{source}: is an empty file")
    if source.is_dir():
        yield list(_walk(source))
    elif _begins_like_zip(source):
        with _one_line(source):
            _check_list(source)
            archive = zipfile.ZipFile(source)
        with archive:
            with _one_line(source):
                infos = archive.infolist()
                _check_whole(source, packed, len(infos), sum(info.file_size for info in infos))
                members = [_zip_member(source, archive, info) for info in infos]
            yield _named(members)
    else:
        with _one_line(source):
            tar = _open_tar(source)
        with tar:
            with _one_line(source):
                members = []
                for info in track(tar, f"looking into {source.name}"):
                    members.append(_tar_member(source, tar, info))
                    _check_whole(source, packed, len(members), tar.offset)
                _check_end(source, packed, tar)
            yield _named(members)


def _where(source: Path) -> str:
    """Where a relative path was looked for: a run of DVC's queue works in another folder than the one it was typed in."""
    if source.is_absolute():
        return ""
    queued = " (a queued run works in a copy: name the whole path)" if ".dvc/tmp/exps" in str(Path.cwd()) else ""
    return f" in {Path.cwd()}{queued}"


def _named(members: list[Member]) -> list[Member]:
    return [member for member in members if member.path.parts]


@contextmanager
def _one_line(source: Path) -> Iterator[None]:
    """What the readers of archives raise on damaged ones, which is almost anything, as one line."""
    try:
        yield
    except _RefusedError as error:
        raise UserError(f"{source}: holds {error}; refused") from None
    except (*BROKEN, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the content (gzip, bz2)
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{source}: the archive is truncated or damaged ({reason})") from None


def _walk(source: Path) -> Iterator[Member]:
    """Folders before what they hold. Their list, and not Python's stack, says how deep they may be."""
    entered = [(PurePosixPath(), source.resolve(), iter(sorted(source.iterdir())))]
    while entered:
        folder, _, entries = entered[-1]
        if (path := next(entries, None)) is None:
            entered.pop()
            continue
        where = folder / path.name
        if not path.is_dir():
            yield Member(where, False, path.read_bytes, _problem(path))
        elif path.is_symlink() and path.resolve() in {place for _, place, _ in entered}:
            yield Member(where, False, path.read_bytes, "link to a folder above")
        else:
            yield Member(where, True, path.read_bytes)
            entered.append((where, path.resolve(), iter(sorted(path.iterdir()))))


def _problem(path: Path) -> str | None:
    try:
        status = path.stat()
    except OSError:
        return "link to nothing"
    if not stat.S_ISREG(status.st_mode):
        return "no file, but a pipe, socket or device"
    if status.st_size > MAX_MEMBER_BYTES:
        return f"more than {MAX_MEMBER_BYTES} bytes"
    return None


def _begins_like_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def _check_list(source: Path) -> None:
    """Refuse a zip whose list of members is too long to be kept in memory, which is what zipfile does with it."""
    with source.open("rb") as file:
        file.seek(max(source.stat().st_size - 2**16 - 98, 0))
        tail = file.read()
    end = len(tail) - 22  # where it is if there is no comment
    if tail[end : end + 4] != ZIP_END or tail[-2:] != b"\0\0":
        end = tail.rfind(ZIP_END)
    if end < 0 or end + 22 > len(tail):
        return  # zipfile says so
    (size,) = struct.unpack_from("<L", tail, end + 12)
    if end >= 76 and tail[end - 20 : end - 16] == ZIP64_LOCATOR:
        (size,) = struct.unpack_from("<Q", tail, end - 76 + 40)
    if MAX_MEMBERS * ZIP_ENTRY_BYTES < size < source.stat().st_size:  # beyond its own size, zipfile calls it damaged
        raise UserError(f"{source}: has a list of members of {size} bytes; {INSTEAD}")


def _zip_member(source: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Member:
    kind = stat.S_IFMT(info.external_attr >> 16)  # 0 where the zip was not made on Unix
    name = _zip_name(info)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UserError(f"{source}: {name!r} is a link or device, not a file; pack real files")
    if info.flag_bits & 1:
        raise UserError(f"{source}: {name!r} is encrypted; pack without a password")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # zipfile unpacks others without a limit
        raise UserError(f"{source}: {name!r} is compressed in a rare way; pack it as usual (deflate)")
    _check(source, name, info.file_size)
    path = name.replace("\\", "/")  # as some programs of Windows write it

    def read() -> bytes:
        with _one_line(source), archive.open(info) as file:
            return file.read(info.file_size)  # no more than that is unpacked, whatever there is

    return Member(PurePosixPath(path), path.endswith("/"), read)


def _zip_name(info: zipfile.ZipInfo) -> str:
    """The name as UTF-8, which macOS and others write without saying so, and others again besides one in the letters of a PC."""
    name = info.orig_filename
    if info.flag_bits & UTF8_FLAG:
        return name
    stored = name.encode("cp437")  # zipfile takes the bytes for those of an IBM PC
    return os.fsdecode(_unicode_path(info.extra, stored) or stored)


def _unicode_path(extra: bytes, stored: bytes) -> bytes | None:
    """The name of Info-ZIP's Unicode Path field (APPNOTE 4.6.9), where there is one of the name that is stored."""
    while len(extra) >= 4:
        kind, size = struct.unpack_from("<HH", extra)
        field, extra = extra[4 : 4 + size], extra[4 + size :]
        if kind == UNICODE_PATH and len(field) > 5 and struct.unpack_from("<L", field, 1)[0] == zlib.crc32(stored):
            return field[5:]
    return None


class _RefusedError(Exception):
    """What a tar holds that is not read. No error of tarfile's: it would look for another format."""


class _TarInfo(tarfile.TarInfo):
    """A header of a tar, which is refused before what belongs to it is read into memory."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:  # meant to be overridden, says tarfile
        if self.type in HEADERS and self.size > MAX_TAR_HEADER_BYTES:
            raise _RefusedError(f"a name or property of {self.size} bytes")
        if len(tar.pax_headers) > MAX_TAR_PROPERTIES:
            raise _RefusedError(f"more than {MAX_TAR_PROPERTIES} properties for all members")
        member: tarfile.TarInfo = super()._proc_member(tar)  # type: ignore[misc]
        return member

    def _refuse(self, *_: object) -> NoReturn:
        raise _RefusedError("a file with holes; pack without --sparse")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse


def _open_tar(source: Path) -> tarfile.TarFile:
    try:
        return tarfile.open(source, "r:*", tarinfo=_TarInfo)
    except tarfile.ReadError:
        raise UserError(f"{source}: is not a directory, tar (.gz, .xz, .bz2) or zip, or its start is damaged") from None


def _tar_member(source: Path, tar: tarfile.TarFile, info: tarfile.TarInfo) -> Member:
    if not (info.isreg() or info.isdir()):
        raise UserError(f"{source}: {info.name!r} is a link or device, not a file; pack real files")
    _check(source, info.name, info.size)
    info.pax_headers = {}  # each has a copy

    def read() -> bytes:
        with _one_line(source):
            file = tar.extractfile(info)
            content = file.read() if file else b""
            if len(content) != info.size:
                raise tarfile.ReadError(f"{info.name!r} ends early")
            return content

    return Member(PurePosixPath(info.name), info.isdir(), read)


def _check(source: Path, name: str, size: int) -> None:
    as_on_windows = PurePosixPath(name.replace("\\", "/"))
    if as_on_windows.is_absolute() or ".." in as_on_windows.parts or "\0" in name or name[1:3] in (":/", ":\\"):
        raise UserError(f"{source}: {name!r} points outside the archive; refused")
    if len(name) > MAX_NAME_LETTERS:
        raise UserError(f"{source}: {name[:40]!r}... is a name of {len(name)} letters; the limit is {MAX_NAME_LETTERS}")
    if size > MAX_MEMBER_BYTES:
        raise UserError(f"{source}: {name!r} has {size} bytes; the limit is {MAX_MEMBER_BYTES}")


def _check_whole(source: Path, packed: int, members: int, unpacked: int) -> None:
    """Refuse what is too much: so many members, or bytes once they are unpacked, as far as they are known."""
    if members > MAX_MEMBERS:
        raise UserError(f"{source}: has more than {MAX_MEMBERS} members; {INSTEAD}")
    if unpacked > max(UNPACKED_BYTES, UNPACKED_TIMES * packed):
        raise UserError(
            f"{source}: has {packed} bytes and would have more than {unpacked} unpacked; if that is meant, {INSTEAD}"
        )


def _check_end(source: Path, packed: int, tar: tarfile.TarFile) -> None:
    """tarfile takes a file that was cut between two members for a whole one: look for the block of zeros at the end."""
    file = tar.fileobj
    assert file is not None
    file.seek(tar.offset)
    if file.read(tarfile.BLOCKSIZE) != tarfile.NUL * tarfile.BLOCKSIZE:
        raise tarfile.ReadError("its end is missing")
    while chunk := file.read(2**20):  # to the last byte, where gzip and xz hold their check sums
        _check_whole(source, packed, 0, file.tell())
        if chunk.strip(tarfile.NUL):
            raise UserError(
                f"{source}: goes on behind the end of its archive, as two in one file do; name each of them"
            )
