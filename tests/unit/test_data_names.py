"""Names of folders and files as people, systems and archives write them; and every file of a folder gets a reason."""

from __future__ import annotations

import inspect
import json
import os
import struct
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from tests.unit.test_data_image_folder import make, make_directory, make_zip, read
from tests.unit.test_data_stages import run, write_params, write_photos
from tinycats.data.raw import RawImage, read_raw
from tinycats.runtime.errors import UserError
from tinycats.sources.image_folder import LeftOut, image_folder
from tinycats.sources.layout import split_of
from tinycats.sources.merge import write_merged
from tinycats.sources.names import alike_but_for_case, tidy_name

COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"
PNG = b"\x89PNG\r\n\x1a\n and so on"


def make_unflagged_zip(path: Path, files: dict[bytes, bytes]) -> Path:
    """A zip whose names are these bytes, without a word on what they are."""
    placeholders = {name: f"{number:0{len(name)}}" for number, name in enumerate(files, 1)}
    content = make_zip(path, {placeholders[name]: content for name, content in files.items()}).read_bytes()
    for name, placeholder in placeholders.items():
        content = content.replace(placeholder.encode(), name)
    path.write_bytes(content)
    return path


def classes(source: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for image in image_folder(source):
        found[image.class_name] = found.get(image.class_name, 0) + 1
    return found


def left_out(source: Path) -> dict[str, str]:
    files: list[LeftOut] = []
    list(image_folder(source, files))
    return {file.name: file.reason for file in files}


@pytest.mark.parametrize("name", ["日本猫", DECOMPOSED, "Ägypten", "кот"])
def test_utf8_names_in_a_zip_need_no_flag(tmp_path, name):
    files = {f"photos/{n}/{i}.jpg".encode(): b"x" for n in (name, "dog") for i in range(2)}
    assert classes(make_unflagged_zip(tmp_path / "a.zip", files)) == {tidy_name(name): 2, "dog": 2}


@pytest.mark.parametrize("encoding", ["cp850", "gbk", "shift_jis", "latin-1"])
def test_class_names_that_are_not_utf8_are_one_line_and_no_guess(tmp_path, encoding):
    name = {"gbk": "波斯猫", "shift_jis": "三毛猫"}.get(encoding, "café")
    files = {f"photos/{name}/1.jpg".encode(encoding): b"x", b"photos/dog/1.jpg": b"y"}
    with pytest.raises(UserError, match=r"a\.zip: the folder .* not UTF-8") as error:
        classes(make_unflagged_zip(tmp_path / "a.zip", files))
    assert "\n" not in str(error.value)


def test_a_file_name_that_is_not_utf8_costs_no_photo(tmp_path):
    source = make_unflagged_zip(tmp_path / "a.zip", {b"cat/caf\xe9.jpg": b"1", b"dog/1.jpg": b"2"})
    assert read(source) == {(r"cat/caf\xe9.jpg", "cat", "", b"1"), ("dog/1.jpg", "dog", "", b"2")}
    (tmp_path / "folder/cat").mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(tmp_path / "folder/cat") + b"/caf\xe9.jpg")).write_bytes(b"1")
    (tmp_path / "folder/cat/two\nlines.jpg").write_bytes(b"2")
    assert {name for name, *_ in read(tmp_path / "folder")} == {r"cat/caf\xe9.jpg", r"cat/two\nlines.jpg"}


def test_backslashes_in_a_zip_of_windows_are_folders(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("photos\\cat\\", "photos\\cat\\1.jpg", "photos\\dog\\1.jpg"):
            archive.writestr(name, b"")
    assert classes(tmp_path / "a.zip") == {"cat": 1, "dog": 1}


def test_a_damaged_flag_in_a_zip_is_one_line(tmp_path):
    source = make_zip(tmp_path / "a.zip", {"café/1.jpg": b"x", "dog/1.jpg": b"y"})
    source.write_bytes(source.read_bytes().replace("é".encode(), b"\xe9e"))
    with pytest.raises(UserError, match="damaged"):
        classes(source)


@pytest.mark.parametrize(
    ("name", "same"),
    [
        (COMPOSED, DECOMPOSED),
        ("big cat", "big\u00a0cat"),
        ("big cat", "big\u3000 cat"),
        ("big cat", " big cat "),
        ("cat", "c\u00adat"),
        ("cat", "\ufeffcat"),
        ("cat", "ca\u200bt"),
        ("한국", "\u1112\u1161\u11ab\u1100\u116e\u11a8"),
    ],
)
def test_names_that_look_the_same_are_one_class(tmp_path, name, same):
    source = make_directory(tmp_path / "photos", {f"{name}/1.jpg": b"a", f"{same}/1.jpg": b"b", "dog/1.jpg": b"c"})
    assert classes(source) == {name: 2, "dog": 1}
    write_merged(tmp_path / "raw", [("photos", image_folder(source))])
    assert len(list(read_raw(tmp_path / "raw"))) == 3  # none of the two 1.jpg is lost


@pytest.mark.parametrize("name", ["👩‍👧", "می‌خواهم", "क्‍ष"])
def test_joiners_that_a_script_needs_are_kept(tmp_path, name):
    source = make_directory(tmp_path / "photos", {f"{name}/Screenshot 3.04\u202fPM.jpg": b"a", "dog/1.jpg": b"b"})
    assert classes(source) == {name: 1, "dog": 1}
    write_merged(tmp_path / "raw", [("photos", image_folder(source))])


def test_a_folder_without_a_visible_name_is_named(tmp_path):
    with pytest.raises(UserError, match=r"the folder '\\u200b' has no name that can be read"):
        classes(make_directory(tmp_path / "photos", {"\u200b/1.jpg": b"a", "dog/1.jpg": b"b"}))


def test_case_makes_two_classes_and_is_pointed_out():
    assert alike_but_for_case(["Cat", "cat", "dog", "STRASSE", "straße"]) == [("Cat", "cat"), ("STRASSE", "straße")]


@pytest.mark.parametrize(
    ("spelling", "split"),
    [
        ("Train", "train"), ("training", "train"), ("training_set", "train"), ("train-images", "train"),
        ("VALID", "val"), ("Validation", "val"), ("val set", "val"), ("dev", "val"),
        ("Test", "test"), ("testing", "test"), ("test_set", "test"), ("cat", None), ("trainer", None), ("set", None),
    ],
)  # fmt: skip
def test_splits_as_others_spell_them(spelling, split):
    assert split_of(spelling) == split


def test_split_folders_in_other_spellings(tmp_path):
    source = make_directory(tmp_path / "a", {f"{s}/{c}/1.jpg": b"x" for s in ("Training", "test_set") for c in "ab"})
    make_directory(source, {"labels/1.xml": b"x", "README.md": b"x"})
    assert {split for _, _, split, _ in read(source)} == {"train", "test"}
    assert left_out(source) == {"labels/1.xml": "no image: .xml", "README.md": "no image: .md"}


def test_a_folder_that_is_no_split_beside_splits_is_named(tmp_path):
    source = make_directory(tmp_path / "a", {f"{s}/{c}/1.jpg": b"x" for s in ("train", "holdout") for c in "ab"})
    with pytest.raises(UserError, match=r"'holdout' is no split folder, .* train, valid \(or val\) and test"):
        read(source)


def test_two_folders_above(tmp_path):
    source = make_zip(
        tmp_path / "a.zip", {f"archive/pets/{s}/{c}/1.jpg": b"x" for s in ("train", "test") for c in "ab"}
    )
    assert {(c, s) for _, c, s, _ in read(source)} == {(c, s) for c in "ab" for s in ("train", "test")}


@pytest.mark.parametrize("kind", ["folder", "a.tar", "a.zip"])
def test_every_file_is_an_image_or_has_a_reason(tmp_path, kind):
    images = {"train/cat/1.jpg", "train/cat/2.AVIF", "train/dog/no suffix", "test/dog/3.jpg_large", "train/dog/4.mpo"}
    others = {
        "train/cat/IMG_1.HEIC": "format that is not read: .heic",
        "train/cat/1.xml": "no image: .xml",
        "train/cat/notes": "no image: no suffix",
        "train/cat/pointer.jpg": "pointer of Git LFS (`git lfs pull` gets the file)",
        "train/cat/.IMG_2.jpg.icloud": "not downloaded from iCloud",
        "train/cat/@eaDir/1.jpg/THUMB.jpg": "hidden, or of the system",
        "$RECYCLE.BIN/x/1.jpg": "hidden, or of the system",
        "__MACOSX/train/cat/._1.jpg": "hidden, or of the system",
        "train/cat/Thumbs.db": "hidden, or of the system",
        ".git/objects/a/b/c/d/e/f/g/h/1": "hidden, or of the system",
        "test/loose.png": "outside the class folders",
        "cover.jpg": "outside the class folders",
        "labels.csv": "no image: .csv",
        "train/cat/sub/notes.txt": "no image: .txt",
    }
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    contents = dict.fromkeys(images, PNG) | {name: pointer if "pointer" in name else b"text" for name in others}
    source = make(tmp_path / kind, contents)
    found: list[LeftOut] = []
    read_images = {image.origin for image in image_folder(source, found)}
    assert read_images == images
    assert {file.name: file.reason for file in found} == others


def test_what_is_no_file_has_a_reason_and_is_not_waited_for(tmp_path):
    source = make_directory(tmp_path / "a", {"cat/1.jpg": b"x", "dog/1.jpg": b"x"})
    os.mkfifo(source / "cat/pipe.jpg")
    (source / "cat/lost.jpg").symlink_to("nowhere.jpg")
    (source / "cat/up").symlink_to("..")
    (source / "cat/good.jpg").symlink_to("1.jpg")
    assert left_out(source) == {
        "cat/lost.jpg": "link to nothing",
        "cat/pipe.jpg": "no file, but a pipe, socket or device",
        "cat/up": "link to a folder above",
    }
    assert classes(source) == {"cat": 2, "dog": 1}


@pytest.mark.parametrize("reason", ["8 × format that is not read: .heic", "8 × pointer of Git LFS"])
def test_a_class_without_images_says_what_it_has_instead(tmp_path, reason):
    pointer = "pointer" in reason
    files = {f"cat/{i}.{'jpg' if pointer else 'heic'}": b"version https://git-lfs.github.com/spec/v1" for i in range(8)}
    source = make_directory(tmp_path / "a", files | {"dog/1.jpg": b"x"})
    with pytest.raises(UserError, match="class 'cat' has no images that are read") as error:
        read(source)
    assert reason in str(error.value)
    assert ".avif" in str(error.value)


def test_an_address_is_no_path(tmp_path):
    with pytest.raises(UserError, match="is an address; download it first"):
        read(Path("https://example.com/photos.zip"))


def test_a_relative_path_says_where_it_was_looked_for(tmp_path, monkeypatch):
    queued = tmp_path / ".dvc/tmp/exps/tmp1"
    queued.mkdir(parents=True)
    monkeypatch.chdir(queued)
    with pytest.raises(UserError, match=r"photos: not found in .*tmp1 \(a queued run works in a copy"):
        read(Path("photos"))


def test_origins_are_those_of_the_users_folders(tmp_path):
    split = make_directory(tmp_path / "a", {f"{s}/{c}/1.jpg": s.encode() for s in ("train", "test") for c in "ab"})
    write_merged(tmp_path / "raw", [("a", image_folder(split))])
    images = list(read_raw(tmp_path / "raw"))
    assert {image.name: image.shown for image in images if image.split == "train"} == {
        f"{c}/1{'-2' if any(i.name == f'{c}/1-2.jpg' and i.split == 'train' for i in images) else ''}.jpg": f"train/{c}/1.jpg"
        for c in "ab"
    }
    write_merged(tmp_path / "raw", [("a", image_folder(split)), ("b", [RawImage("a/1.jpg", "a", "", b"x")])])
    assert {i.shown for i in read_raw(tmp_path / "raw")} == {
        f"a/{s}/{c}/1.jpg" for s in ("train", "test") for c in "ab"
    } | {"b/a/1.jpg"}


def test_the_stage_counts_what_it_leaves_out_on_the_screen_and_in_its_metrics(tmp_path):
    write_photos(tmp_path / "photos", {"cat": 5, "Cat": 5})
    for number in range(3):
        (tmp_path / f"photos/cat/{number}.heic").write_bytes(b"x")
    write_params(tmp_path, source="image_folder", path="photos")
    done = run("fetch", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "3 × format that is not read: .heic" in done.stdout
    assert "'Cat' and 'cat' are two classes" in done.stdout
    metrics = json.loads((tmp_path / "metrics/fetch.json").read_text())
    assert metrics["left_out"] == {"format that is not read: .heic": 3}
    assert metrics["left_out_files"][0] == {
        "source": "photos", "name": "cat/0.heic", "reason": "format that is not read: .heic",
    }  # fmt: skip


def test_a_huge_file_in_a_folder_is_not_read(tmp_path, monkeypatch):
    source = make_directory(tmp_path / "a", {"cat/1.jpg": b"x", "dog/1.jpg": b"x", "dog/2.jpg": bytes(2000)})
    monkeypatch.setattr("tinycats.sources.archives.MAX_MEMBER_BYTES", 1999)
    assert left_out(source) == {"dog/2.jpg": "more than 1999 bytes"}


def test_a_backslash_in_a_tar_is_a_part_of_the_name(tmp_path):
    source = make(tmp_path / "a.tar", {"cat/a\\b.jpg": b"x", "dog/1.jpg": b"y"})
    assert tarfile.is_tarfile(source)
    assert ("cat/a\\b.jpg", "cat", "", b"x") in read(source)


@pytest.mark.parametrize(
    "name", ["cat/Notes for Mr. M\udcfcller", "cat/notes.a\nb", "cat/seq.001", "cat/x.verylongsuffix"]
)
def test_what_follows_a_dot_is_a_reason_only_where_it_reads_like_a_suffix(tmp_path, name):
    source = make_directory(tmp_path / "a", {"cat/1.jpg": b"x", "dog/1.jpg": b"x", name: b"text"})
    assert list(left_out(source).values()) == ["no image"]
    assert all(file.isprintable() for file in left_out(source))


@pytest.mark.parametrize("stray", ["docs/readme/n.txt", "docs/readme/deep/n.yaml", "docs/cat/logo"])
def test_folders_beside_those_of_the_classes_are_no_classes(tmp_path, stray):
    source = make_directory(tmp_path / "a", {"photos/cat/1.jpg": b"x", "photos/dog/1.jpg": b"x", stray: PNG})
    assert classes(source) == {"cat": 1, "dog": 1}
    assert list(left_out(source)) == [stray]


def test_images_without_suffixes_are_found_in_splits_and_too_deep_ones_are_told(tmp_path):
    files = {f"{split}/{name}/0": PNG for split in ("train", "test") for name in ("cat", "dog")}
    assert classes(make_directory(tmp_path / "a", files)) == {"cat": 2, "dog": 2}
    deep = make_directory(
        tmp_path / "b", {"cat/1.jpg": b"x", "dog/1.jpg": b"x", "cat/more/7": PNG, "cat/more/8": b"text"}
    )
    assert left_out(deep) == {"cat/more/7": "nested too deeply", "cat/more/8": "no image: no suffix"}


def test_a_tree_deeper_than_pythons_stack(tmp_path):
    source = make_directory(tmp_path / "a", {"cat/1.jpg": b"x", "dog/1.jpg": b"x", f"cat/{'d/' * 200}2.txt": b"x"})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        assert classes(source) == {"cat": 1, "dog": 1}
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz"])
def test_what_follows_the_end_of_a_tar_is_not_lost_silently(tmp_path, suffix):
    first = make(tmp_path / f"a{suffix}", {"cat/1.jpg": b"x", "dog/1.jpg": b"x"})
    second = make(tmp_path / f"b{suffix}", {"fox/1.jpg": b"x"})
    first.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(UserError, match="goes on behind the end"):
        classes(first)


@pytest.mark.parametrize("of", [b"k\xf6ter/1.jpg", b"another name"])
def test_a_zip_may_have_its_names_in_utf8_besides(tmp_path, of):
    """In Info-ZIP's Unicode Path, as WinZip writes it; one of another name is out of date."""
    stored, path = b"k\xf6ter/1.jpg", tmp_path / "a.zip"
    field = b"\1" + struct.pack("<L", zlib.crc32(of)) + "köter/1.jpg".encode()
    named = zipfile.ZipInfo("0" * len(stored))
    named.extra = struct.pack("<HH", 0x7075, len(field)) + field
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(named, b"x")
        archive.writestr("hund/1.jpg", b"x")
    path.write_bytes(path.read_bytes().replace(b"0" * len(stored), stored))
    if of == stored:
        assert classes(path) == {"köter": 1, "hund": 1}
    else:
        with pytest.raises(UserError, match="no name that can be read"):
            classes(path)


@pytest.mark.parametrize("kind", ["a.zip", "a.tar"])
def test_a_name_that_never_ends_is_refused(tmp_path, kind):
    source = make(tmp_path / kind, {"cat/1.jpg": b"x", f"dog/{'x' * 5000}.jpg": b"x"})
    with pytest.raises(UserError, match="is a name of 5008 letters; the limit is 4096") as error:
        classes(source)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", ["\u200b.", "\u200b.."])
def test_a_folder_that_is_named_like_the_one_above_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="no name that can be read"):
        classes(make_directory(tmp_path / "a", {f"{name}/1.jpg": b"x", "dog/1.jpg": b"x"}))


def test_a_pipe_is_no_source(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a pipe, socket or device"):
        classes(tmp_path / "pipe")


def test_folders_of_one_name_are_two_sources(tmp_path):
    for parent in ("a", "b", "c"):
        write_photos(tmp_path / parent / "photos", {"cat": 2, "dog": 1})
    write_params(tmp_path, source="image_folder", path="a/photos", extra=["b/photos", "c/photos"])
    assert run("fetch", tmp_path).returncode == 0
    sources = json.loads((tmp_path / "metrics/fetch.json").read_text())["sources"]
    assert sources == {"photos": 3, "photos (2)": 3, "photos (3)": 3}
