"""Archives that would fill memory, disk or hours: each is refused with one line, before it is unpacked."""

from __future__ import annotations

import bz2
import io
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tinycats.runtime.errors import UserError
from tinycats.sources import archives
from tinycats.sources.archives import open_members

MB = 2**20


def read(source: Path) -> dict[str, bytes]:
    with open_members(source) as members:
        return {str(member.path): member.read() for member in members if not member.is_directory}


def complaint(source: Path) -> str:
    with pytest.raises(UserError) as caught:
        read(source)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(source))
    return message


def zip_of(path: Path, files: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def tar_of(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def with_size(path: Path, honest: int, claimed: int) -> Path:
    """The zip, whose member now claims to unpack to `claimed` bytes, in both places that say so."""
    content = path.read_bytes()
    before, after = honest.to_bytes(4, "little"), claimed.to_bytes(4, "little")
    assert content.count(before) == 2
    path.write_bytes(content.replace(before, after))
    return path


def peak_mb(source: Path) -> tuple[float, str]:
    """By how much memory grows, in a process of its own, where all of `source` is read, and what is said."""
    script = (
        "import resource, sys; from pathlib import Path; from tinycats.runtime.errors import UserError\n"
        "from tinycats.sources.archives import open_members\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before, said = peak(), 'read'\n"
        "try:\n"
        "    with open_members(Path(sys.argv[1])) as members:\n"
        "        for member in members: member.read()\n"
        "except UserError as error: said = str(error)\n"
        "print(peak() - before, said)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, source], cwd=ROOT / "src", capture_output=True, text=True, check=True
    )
    grown, said = done.stdout.split(maxsplit=1)
    return int(grown) / (1024 if sys.platform == "linux" else MB), said


@pytest.mark.parametrize("make", [zip_of, tar_of])
def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make) -> None:
    source = make(tmp_path / "many", {f"cat/{i}.jpg": b"" for i in range(20)})
    assert len(read(source)) == 20
    monkeypatch.setattr(archives, "MAX_MEMBERS", 19)
    assert "has more than 19 members; unpack it and name the folder" in complaint(source)


def test_a_zip_whose_list_is_too_long_is_refused_before_the_list_is_read(tmp_path, monkeypatch) -> None:
    source = zip_of(tmp_path / "a.zip", {f"cat/{'n' * 200}{i}.jpg": b"" for i in range(20)})
    with zipfile.ZipFile(source, "a") as archive:
        archive.comment = b"PK, a comment" * 20
    assert len(read(source)) == 20
    monkeypatch.setattr(archives, "MAX_MEMBERS", 30)
    monkeypatch.setattr(zipfile, "ZipFile", None)
    assert "list of members" in complaint(source)


def test_so_is_one_in_the_format_for_large_zips(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 5)
    source = zip_of(tmp_path / "a.zip", {f"cat/{'n' * 200}{i}.jpg": b"" for i in range(20)})
    assert b"PK\x06\x07" in source.read_bytes()
    monkeypatch.undo()
    assert len(read(source)) == 20
    monkeypatch.setattr(archives, "MAX_MEMBERS", 30)
    assert "list of members" in complaint(source)


@pytest.mark.parametrize("name", ["bomb.zip", "bomb.tar.gz"])
def test_an_archive_that_would_become_far_larger_is_refused(tmp_path: Path, monkeypatch, name: str) -> None:
    files = {f"cat/{i}.bmp": bytes(MB) for i in range(4)}
    source = (zip_of if name.endswith("zip") else tar_of)(tmp_path / name, files)
    assert read(source) == files  # flat pictures shrink a thousandfold, which is no reason as long as they are small
    monkeypatch.setattr(archives, "UNPACKED_BYTES", 2 * MB)
    message = complaint(source)
    assert f"has {source.stat().st_size} bytes and would have more than" in message
    assert message.endswith("unpack it and name the folder")


def test_zeros_behind_the_end_of_a_tar_are_not_read_for_ever(tmp_path: Path, monkeypatch) -> None:
    source = tar_of(tmp_path / "a.tar", {"cat/1.jpg": b"1"})
    packed = zlib.compressobj(wbits=31)
    (tmp_path / "b.tar.gz").write_bytes(packed.compress(source.read_bytes() + bytes(8 * MB)) + packed.flush())
    assert read(tmp_path / "b.tar.gz") == {"cat/1.jpg": b"1"}
    monkeypatch.setattr(archives, "UNPACKED_BYTES", 2 * MB)
    assert "unpacked" in complaint(tmp_path / "b.tar.gz")


def test_a_member_of_a_zip_cannot_unpack_to_more_than_it_claims(tmp_path: Path) -> None:
    source = zip_of(tmp_path / "liar.zip", {"cat/1.bmp": bytes(300 * MB)})
    grown, said = peak_mb(with_size(source, 300 * MB, 1000))
    assert "damaged" in said
    assert grown < 50


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_of_compression_that_zipfile_unpacks_without_a_limit_are_refused(tmp_path: Path, compression: int) -> None:
    source = zip_of(tmp_path / "a.zip", {"cat/1.jpg": b"x" * 1000}, compression)
    assert "'cat/1.jpg' is compressed in a rare way; pack it as usual (deflate)" in complaint(source)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_name_of_hundreds_of_megabytes_is_not_read(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("name")
    header.type, header.size = kind, 300 * MB
    with bz2.open(tmp_path / "a.tar.bz2", "wb") as file:
        file.write(header.tobuf())
        for _ in range(header.size // MB):
            file.write(b"n" * MB)
        file.write(bytes(1024))
    grown, said = peak_mb(tmp_path / "a.tar.bz2")
    assert f"a name or property of {header.size} bytes" in said
    assert grown < 100


def test_properties_for_all_members_do_not_add_up(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", pax_headers={f"key{i}": "value" for i in range(200)}) as tar:
        tar.addfile(tarfile.TarInfo("cat/1.jpg"))
    assert "more than 100 properties" in complaint(tmp_path / "a.tar")


def test_files_with_holes_are_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("cat/1.jpg")
    info.type = tarfile.GNUTYPE_SPARSE
    (tmp_path / "gnu.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(1024))
    assert "a file with holes; pack without --sparse" in complaint(tmp_path / "gnu.tar")
    info = tarfile.TarInfo("cat/1.jpg")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    with tarfile.open(tmp_path / "pax.tar", "w") as tar:
        tar.addfile(info)
    assert "a file with holes" in complaint(tmp_path / "pax.tar")
