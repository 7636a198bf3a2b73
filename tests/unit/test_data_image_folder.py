"""Directories, tars and zips of class folders: all layouts, and what must not be read."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from tinycats.runtime.errors import UserError
from tinycats.sources import archives
from tinycats.sources.image_folder import image_folder

PLAIN = {"cat/1.jpg": b"c1", "cat/2.JPG": b"c2", "dog/1.png": b"d1"}
SPLIT = {"train/0/1.jpg": b"a", "valid/0/1.jpg": b"b", "test/00/1.jpg": b"c", "val/00/2.jpg": b"d"}


def make_directory(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def make_tar(path: Path, files: dict[str, bytes]) -> Path:
    mode = {".gz": "w:gz", ".xz": "w:xz", ".bz2": "w:bz2"}.get(path.suffix, "w")
    with tarfile.open(path, mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def make(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == "":
        return make_directory(path, files)
    return (make_zip if path.suffix == ".zip" else make_tar)(path, files)


def read(source: Path) -> set[tuple[str, str, str, bytes]]:
    return {(image.name, image.class_name, image.split, image.content) for image in image_folder(source)}


KINDS = ["folder", "a.tar", "a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip"]


@pytest.mark.parametrize("above", ["", "pets/"])
@pytest.mark.parametrize("kind", KINDS)
def test_class_folders(tmp_path, kind, above):
    source = make(tmp_path / kind, {above + name: content for name, content in PLAIN.items()})
    assert read(source) == {
        ("cat/1.jpg", "cat", "", b"c1"),
        ("cat/2.JPG", "cat", "", b"c2"),
        ("dog/1.png", "dog", "", b"d1"),
    }


@pytest.mark.parametrize("above", ["", "jersey_numbers/", "./"])
@pytest.mark.parametrize("kind", KINDS)
def test_split_folders_and_classes_that_look_like_numbers(tmp_path, kind, above):
    source = make(tmp_path / kind, {above + name: content for name, content in SPLIT.items()})
    assert read(source) == {
        ("0/1.jpg", "0", "train", b"a"),
        ("0/1.jpg", "0", "val", b"b"),
        ("00/1.jpg", "00", "test", b"c"),
        ("00/2.jpg", "00", "val", b"d"),
    }


def test_a_class_named_like_a_split_is_a_class_among_classes(tmp_path):
    source = make(tmp_path / "a.zip", {"train/1.jpg": b"t", "plane/1.jpg": b"p"})
    assert {name for name, *_ in read(source)} == {"train/1.jpg", "plane/1.jpg"}


@pytest.mark.parametrize("kind", KINDS)
def test_clutter_is_ignored(tmp_path, kind):
    clutter = ["README.md", "cat/.hidden.jpg", "cat/Thumbs.db", "cat/notes.txt", "__MACOSX/cat/._1.jpg", ".git/a/b.jpg"]
    assert len(read(make(tmp_path / kind, PLAIN | dict.fromkeys(clutter, b"x")))) == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"x"}, "holds no images"),
        (PLAIN | {"bird/list.txt": b"x"}, "class 'bird' has no images"),
        (PLAIN | {"bird/wings/1.jpg": b"x"}, r"bird/wings/1\.jpg is nested too deeply"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path, kind, files, message):
    source = make(tmp_path / kind, files)
    with pytest.raises(UserError, match=message) as error:
        read(source)
    assert str(source) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_empty_and_foreign_sources(tmp_path):
    (tmp_path / "zero.tar").touch()
    (tmp_path / "text.zip").write_text("this is no archive" * 100)
    (tmp_path / "folder").mkdir()
    for name, message in [
        ("nowhere", "not found"),
        ("zero.tar", "is an empty file"),
        ("text.zip", "is not a directory, tar"),
        ("folder", "holds no images"),
    ]:
        with pytest.raises(UserError, match=message):
            read(tmp_path / name)


def test_an_empty_class_directory_is_named(tmp_path):
    make(tmp_path / "pets", PLAIN)
    (tmp_path / "pets/bird").mkdir()
    with pytest.raises(UserError, match="class 'bird' has no images"):
        read(tmp_path / "pets")


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("kept", [1, 300, 512, 0.3, 0.5, 0.9, -9, -1, "between two members"])
def test_archives_that_were_cut_off_are_refused_wherever_the_cut_is(tmp_path, kind, kept):
    noise = bytes((i * i * 31 + i // 7) % 255 + 1 for i in range(3000))  # does not compress to nothing
    whole = make(tmp_path / kind, {f"{c}/{i}.jpg": noise[i:] for c in "ab" for i in range(3)}).read_bytes()
    whole = whole.rstrip(b"\0") if kind == "a.tar" else whole
    if kept == "between two members":
        kept = 4 * (512 + 3072)  # of the tar: header and content, filled up to whole blocks
    source = tmp_path / f"cut_{kind}"
    source.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    assert source.stat().st_size > 0
    if source.stat().st_size < len(whole):
        with pytest.raises(UserError, match=f"cut_{kind}: .*(truncated|damaged)"):
            read(source)


def test_damaged_bytes_are_noticed(tmp_path):
    for kind in ("a.tar.gz", "a.tar.xz", "a.tar.bz2", "a.zip"):
        source = make(tmp_path / kind, {f"{c}/1.jpg": bytes(i * i % 251 for i in range(5000)) for c in "ab"})
        content = bytearray(source.read_bytes())
        content[len(content) // 3] ^= 0xFF
        source.write_bytes(content)
        with pytest.raises(UserError, match="damaged"):
            read(source)


@pytest.mark.parametrize("kind", ["a.tar", "a.tar.gz", "a.zip"])
@pytest.mark.parametrize(
    "name", ["../../evil.jpg", "/etc/evil.jpg", "cat/../../evil.jpg", "cat\\..\\evil.jpg", "C:/a/b.jpg"]
)
def test_names_that_point_outside_are_refused(tmp_path, kind, name):
    (tmp_path / "in").mkdir()
    source = make(tmp_path / "in" / kind, PLAIN | {name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=r"points outside the archive; refused") as error:
        read(source)
    assert repr(name) in str(error.value)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_tars_are_refused(tmp_path, kind):
    source = make(tmp_path / "a.tar", PLAIN)
    with tarfile.open(source, "a") as tar:
        info = tarfile.TarInfo("cat/evil.jpg")
        info.type, info.linkname = kind, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(UserError, match=r"'cat/evil\.jpg' is a link or device"):
        read(source)


def test_links_and_passwords_in_zips_are_refused(tmp_path):
    link = zipfile.ZipInfo("cat/evil.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    source = tmp_path / "a.zip"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match=r"'cat/evil\.jpg' is a link"):
        read(source)

    content = bytearray(make(tmp_path / "b.zip", PLAIN).read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag in the central directory
    (tmp_path / "b.zip").write_bytes(content)
    with pytest.raises(UserError, match="is encrypted"):
        read(tmp_path / "b.zip")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_members_too_big_for_an_image_are_not_read(tmp_path, kind, monkeypatch):
    source = make(tmp_path / kind, PLAIN | {"cat/huge.jpg": bytes(2000)})
    monkeypatch.setattr(archives, "MAX_MEMBER_BYTES", 1999)
    with pytest.raises(UserError, match=r"'cat/huge\.jpg' has 2000 bytes; the limit is 1999"):
        read(source)
