"""The raw data set, and merging sources into it."""

import tarfile
from collections.abc import Iterator

import pytest

from tinycats.data.raw import RawImage, read_raw, write_raw
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.sources.merge import write_merged

IMAGES = [
    RawImage("b/2.png", "b", "train", b"two", (1, 0, 30, 20)),
    RawImage("a/1.jpg", "a", "", b"one"),
    RawImage("b/ü, long " + 120 * "n" + ".gif", "b", "test", b""),
]


def test_what_is_written_is_read_sorted_by_name(tmp_path):
    assert write_raw(tmp_path / "raw", IMAGES) == {"a": 1, "b": 2}
    assert list(read_raw(tmp_path / "raw")) == sorted(IMAGES, key=lambda image: image.name)
    assert [image.content for image in read_raw(tmp_path / "raw", {"b/2.png"})] == [b"two"]
    assert sorted(path.name for path in (tmp_path / "raw").iterdir()) == ["images.tar", "index.csv"]


def test_files_depend_on_the_images_only_not_on_order_or_time(tmp_path):
    write_raw(tmp_path / "one", IMAGES)
    write_raw(tmp_path / "two", reversed(IMAGES))
    for name in ("images.tar", "index.csv"):
        assert file_hash(tmp_path / "one" / name) == file_hash(tmp_path / "two" / name)
    with tarfile.open(tmp_path / "one/images.tar") as tar:
        assert {(info.mtime, info.uid, info.gid, info.mode, info.uname) for info in tar} == {(0, 0, 0, 0o644, "")}


def test_a_source_that_fails_midway_leaves_what_was_there(tmp_path):
    def failing() -> Iterator[RawImage]:
        yield IMAGES[0]
        raise UserError("it broke")

    write_raw(tmp_path / "raw", IMAGES)
    before = file_hash(tmp_path / "raw/images.tar")
    with pytest.raises(UserError, match="it broke"):
        write_raw(tmp_path / "raw", failing())
    assert file_hash(tmp_path / "raw/images.tar") == before
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_names_must_be_unique_and_in_the_folder_of_the_class(tmp_path):
    with pytest.raises(UserError, match=r"a/1\.jpg: there are two"):
        write_raw(tmp_path / "raw", [IMAGES[1], IMAGES[1]])
    with pytest.raises(UserError, match="does not fit class 'b'"):
        write_raw(tmp_path / "raw", [RawImage("a/1.jpg", "b", "", b"")])


@pytest.mark.parametrize("name", ["a/caf\udce9.jpg", "a/two\nlines.jpg"])
def test_names_that_an_index_cannot_hold_are_refused(tmp_path, name):
    with pytest.raises(UserError, match="unprintable characters") as error:
        write_raw(tmp_path / "raw", [RawImage(name, "a", "", b"")])
    assert str(error.value).isprintable()


def test_index_and_tar_that_differ_are_noticed(tmp_path):
    write_raw(tmp_path / "raw", IMAGES)
    index = tmp_path / "raw/index.csv"
    index.write_text(index.read_text().replace("b/2.png", "b/3.png"))
    with pytest.raises(UserError, match=r"differ at 'b/3\.png'"):
        list(read_raw(tmp_path / "raw"))


def test_reading_before_fetching_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match="run the fetch stage first"):
        list(read_raw(tmp_path / "raw"))


def test_merging_pools_classes_of_one_name_adds_new_ones_and_keeps_every_image(tmp_path):
    base = [RawImage("a/1.jpg", "a", "", b"base"), RawImage("b/1.jpg", "b", "test", b"b")]
    extra = [RawImage("a/1.jpg", "a", "", b"extra"), RawImage("c/1.jpg", "c", "", b"c")]
    counts = write_merged(tmp_path / "raw", [("base", base), ("more.zip", extra), ("again", extra[:1])])
    assert counts == {
        "total": 5,
        "classes": {"a": 3, "b": 1, "c": 1},
        "sources": {"base": 2, "more.zip": 2, "again": 1},
        "splits": {"test": 1, "unsplit": 4},
    }
    contents = {image.name: image.content for image in read_raw(tmp_path / "raw")}
    assert contents == {
        "a/1.jpg": b"base",
        "a/1-2.jpg": b"extra",
        "a/1-3.jpg": b"extra",
        "b/1.jpg": b"b",
        "c/1.jpg": b"c",
    }


def test_one_class_is_too_few(tmp_path):
    with pytest.raises(UserError, match="mine: only one class, 'a'; a classifier needs at least two"):
        write_merged(tmp_path / "raw", [("mine", [IMAGES[1]])])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("damage", ["two rows less", "a box of letters", "no UTF-8"])
def test_a_damaged_index_costs_no_image_silently(tmp_path, damage):
    write_raw(tmp_path / "raw", IMAGES)
    index = tmp_path / "raw/index.csv"
    content = index.read_bytes()
    index.write_bytes({
        "two rows less": b"".join(content.splitlines(keepends=True)[:-2]),
        "a box of letters": content.replace(b"1 0 30 20", b"1 0 30 x"),
        "no UTF-8": content.replace("ü".encode(), b"\xff"),
    }[damage])  # fmt: skip
    with pytest.raises(UserError, match="fetch it again"):
        list(read_raw(tmp_path / "raw"))
