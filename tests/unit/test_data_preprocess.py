"""Preprocessing as a whole: what is kept, left out and written, that it is repeatable, and how it fails."""

import dataclasses
import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinycats.data.processed import load_classes, load_fit, load_split
from tinycats.data.raw import RawImage, read_raw, write_raw
from tinycats.preparing import preprocess as module
from tinycats.preparing.decode import decode, to_square
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime import parallel
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.runtime.params import PreprocessParams

SIZES = [16, 24]
SETTINGS = PreprocessParams(
    val_fraction=0.2,
    test_fraction=0.2,
    min_side_px=20,
    max_pixels=10_000,
    fit="crop",
    max_bad_fraction=0.5,
    other_class=None,
    features=None,
    near_duplicates="report",
    face=None,
    min_faces=1,
)


def encode(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def noise(seed: int, width: int = 40, height: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def good(class_name: str, numbers: range, split: str = "") -> list[RawImage]:
    return [
        RawImage(f"{class_name}/{i:03}.jpg", class_name, split, encode(noise(i), "JPEG" if i % 2 else "PNG"))
        for i in numbers
    ]


def prepare(tmp_path: Path, images: list[RawImage], seed: int = 0, **changes: object) -> dict:
    write_raw(tmp_path / "raw", images)
    settings = SETTINGS.model_copy(update=changes)
    return preprocess(tmp_path / "raw", tmp_path / "processed", SIZES, settings=settings, seed=seed)


def hashes(directory: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in directory.iterdir()}


def test_what_is_written_is_every_image_with_its_label(tmp_path):
    images = good("b", range(10)) + good("a", range(10, 20))
    metrics = prepare(tmp_path, images, other_class="b")
    processed = tmp_path / "processed/photo"
    assert metrics["read"] == metrics["kept"] == 20
    assert metrics["splits"] == {"train": 12, "val": 4, "test": 4}
    assert metrics["classes"] == {"a": 10, "b": 10}
    assert load_classes(processed) == (["a", "b"], "b")
    content = {image.name: image.content for image in images}
    seen: list[str] = []
    for split in ("train", "val", "test"):
        for size in (16, 24):
            loaded = load_split(processed, split, size)
            assert isinstance(loaded.images, np.memmap)
            assert loaded.images.dtype == np.uint8
            assert loaded.images.shape == (len(loaded.names), size, size, 3)
            assert loaded.labels.dtype == np.int64
            for image, label, name in zip(loaded.images, loaded.labels, loaded.names, strict=True):
                assert ["a", "b"][label] == name.split("/")[0]
                assert (image == to_square(decode(content[name], 1, 10**6), size)).all()
        seen += loaded.names
    assert sorted(seen) == sorted(content)
    arrays = {f"{split}_{size}.npy" for split in ("train", "val", "test") for size in (16, 24)}
    assert {path.name for path in processed.iterdir()} == arrays | {"index.csv", "classes.json"}
    assert not os.access(processed / "train_16.npy", os.X_OK)


def test_bad_images_are_left_out_with_their_reason(tmp_path):
    whole = encode(noise(100, 80, 80), "JPEG")
    bad = {
        "a/bomb.png": encode(Image.new("1", (101, 100)), "PNG"),
        "a/cut.jpg": whole[: len(whole) // 2],
        "a/empty.jpg": b"",
        "b/small.jpg": encode(noise(101, 40, 19), "JPEG"),
        "b/text.jpg": b"<html>404</html>",
    }
    images = good("a", range(10)) + good("b", range(10, 20))
    metrics = prepare(tmp_path, images + [RawImage(name, name[0], "", content) for name, content in bad.items()])
    assert metrics["quarantined_files"] == [
        {"name": "a/bomb.png", "reason": "decompression_bomb"},
        {"name": "a/cut.jpg", "reason": "truncated"},
        {"name": "a/empty.jpg", "reason": "undecodable"},
        {"name": "b/small.jpg", "reason": "too_small"},
        {"name": "b/text.jpg", "reason": "undecodable"},
    ]
    assert metrics["quarantined"] == {
        "undecodable": 2, "truncated": 1, "too_small": 1, "decompression_bomb": 1, "duplicate": 0,
        "near_duplicate": 0,
    }  # fmt: skip
    assert (metrics["read"], metrics["kept"]) == (25, 20)
    names = {
        name for split in ("train", "val", "test") for name in load_split(tmp_path / "processed/photo", split, 16).names
    }
    assert names == {image.name for image in images}


def test_of_pixel_identical_images_the_first_stays_whatever_format_class_or_split(tmp_path):
    jpeg = encode(noise(5), "JPEG")
    copy = encode(Image.open(io.BytesIO(jpeg)), "PNG")
    edge = noise(6, 60, 30)
    changed = edge.copy()
    changed.putpixel((0, 0), (0, 0, 0))  # outside the middle square: the same when cropped, yet another image
    images = [
        *good("a", range(10, 20)),
        *good("b", range(20, 30)),
        RawImage("a/z1.jpg", "a", "train", jpeg),
        RawImage("a/z2.jpg", "a", "test", jpeg),
        RawImage("b/z3.png", "b", "", copy),
        RawImage("b/z4.png", "b", "", encode(edge, "PNG")),
        RawImage("b/z5.png", "b", "", encode(changed, "PNG")),
    ]
    metrics = prepare(tmp_path, images, max_bad_fraction=0.0)  # duplicates are not bad
    assert metrics["quarantined_files"] == [
        {"name": "a/z2.jpg", "reason": "duplicate", "same_as": "a/z1.jpg"},
        {"name": "b/z3.png", "reason": "duplicate", "same_as": "a/z1.jpg"},
    ]
    assert metrics["quarantined"]["duplicate"] == 2


def test_given_splits_are_kept(tmp_path):
    given = good("a", range(6), "train") + good("a", range(6, 8), "val") + good("a", range(8, 10), "test")
    prepare(tmp_path, given + good("b", range(10, 20)))
    for split in ("train", "val", "test"):
        names = [name for name in load_split(tmp_path / "processed/photo", split, 16).names if name.startswith("a/")]
        assert names == [image.name for image in given if image.split == split]


def test_stretched_images_are_whole_and_the_data_set_says_so(tmp_path):
    images = good("a", range(9)) + good("b", range(10, 19))
    prepare(tmp_path, images, fit="stretch")
    assert load_fit(tmp_path / "processed/photo") == "stretch"
    train = load_split(tmp_path / "processed/photo", "train", 16)
    content = {image.name: image.content for image in images}
    for name, image in zip(train.names, train.images, strict=True):
        assert (image == to_square(decode(content[name], 1, 10**6), 16, "stretch")).all()


def test_two_runs_are_byte_identical_whatever_the_number_of_cores(tmp_path, monkeypatch):
    images = good("a", range(50)) + good("b", range(50, 90))
    first = prepare(tmp_path, images)
    expected = hashes(tmp_path / "processed/photo")
    monkeypatch.setattr(parallel, "cores", lambda: 5)
    monkeypatch.setattr(parallel, "CHUNK", 3)
    assert prepare(tmp_path, images[::-1]) == first
    assert hashes(tmp_path / "processed/photo") == expected
    prepare(tmp_path, images, seed=1)
    assert hashes(tmp_path / "processed/photo") != expected


def test_too_many_bad_images_fail_with_the_figures_and_leave_what_was_there(tmp_path):
    images = good("a", range(5)) + good("b", range(5, 10))
    prepare(tmp_path, images)
    before = hashes(tmp_path / "processed/photo")
    more = [RawImage(f"a/z{i}.jpg", "a", "", b"") for i in range(3)] + [
        RawImage("b/z.jpg", "b", "", encode(noise(99, 19, 19), "JPEG"))
    ]
    with pytest.raises(UserError, match=r"4 of 14 images are bad \(3 undecodable, 1 too_small\); .* allows 0\.25"):
        prepare(tmp_path, images + more, max_bad_fraction=0.25)
    assert hashes(tmp_path / "processed/photo") == before
    assert prepare(tmp_path, images + more, max_bad_fraction=4 / 14)["kept"] == 10


def at(origin: str, image: RawImage) -> RawImage:
    return dataclasses.replace(image, origin=origin)


def test_bad_images_are_named_as_in_the_users_folder(tmp_path):
    images = good("a", range(20)) + good("b", range(20, 40))
    bad = [at(f"train/a/{i}.jpg", RawImage(f"a/{i}-2.jpg", "a", "", b"\0\0\0\x18ftypheic")) for i in range(7)]
    with pytest.raises(UserError, match="7 of 47 images are bad") as error:
        prepare(tmp_path, images + bad, max_bad_fraction=0.05)
    assert "train/a/0.jpg (unsupported_format), train/a/1.jpg" in str(error.value)
    assert "and 2 more; it is of a format that is not read, such as HEIC: convert it to JPEG" in str(error.value)
    assert "\n" not in str(error.value)
    metrics = prepare(tmp_path, images + bad)
    assert metrics["quarantined"]["unsupported_format"] == 7
    assert {file["name"] for file in metrics["quarantined_files"]} == {f"train/a/{i}.jpg" for i in range(7)}


def test_the_same_image_in_two_classes_is_pointed_out(tmp_path):
    images = good("a", range(10)) + good("b", range(10, 20))
    twins = [
        at("more/b/x.jpg", RawImage("b/x.jpg", "b", "", images[3].content)),
        at("more/a/y.jpg", RawImage("a/y.jpg", "a", "", images[4].content)),  # in the same class
    ]
    metrics = prepare(tmp_path, images + twins)
    assert metrics["label_conflicts"] == [
        {"name": "a/003.jpg", "class": "a", "same_as": "more/b/x.jpg", "other_class": "b"}
    ]
    assert {"name": "more/a/y.jpg", "reason": "duplicate", "same_as": "a/004.jpg"} in metrics["quarantined_files"]
    assert "label_conflicts" not in prepare(tmp_path, images)


def test_the_other_class_may_be_typed_in_another_form(tmp_path):
    images = good("caf\u00e9", range(10)) + good("b", range(10, 20))
    prepare(tmp_path, images, other_class="cafe\u0301")
    assert load_classes(tmp_path / "processed/photo") == (["b", "caf\u00e9"], "caf\u00e9")


@pytest.mark.parametrize(
    ("images", "changes", "message"),
    [
        (good("a", range(9)) + good("b", range(10, 12)), {}, "'b' has 2 and needs 3"),
        (good("a", range(9)) + good("b", range(9)), {}, r"'b' has 0 and needs 3 \(left out: 9 duplicate\)"),
        (
            good("a", range(9)) + good("b", range(10, 19)),
            {"other_class": "dog"},
            "other_class 'dog' is not among .* a, b",
        ),
        ([RawImage("a/1.jpg", "a", "", b"")], {"max_bad_fraction": 1.0}, "none of its 1 images can be used"),
    ],
)
def test_data_that_cannot_be_used_is_one_line_and_writes_nothing(tmp_path, images, changes, message):
    with pytest.raises(UserError, match=message) as error:
        prepare(tmp_path, images, **changes)
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_loading_what_is_not_there_says_what_is(tmp_path):
    prepare(tmp_path, good("a", range(9)) + good("b", range(10, 19)))
    with pytest.raises(UserError, match=r"train_32\.npy: not found \(.* has .*train_16\.npy.*\); run the preprocess"):
        load_split(tmp_path / "processed/photo", "train", 32)
    with pytest.raises(UserError, match="run the preprocess stage first"):
        load_classes(tmp_path)


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(tmp_path):
    """A limit on the size of files stands in for the disk: the write fails in the same way, with another errno."""
    write_raw(tmp_path / "raw", good("a", range(20)) + good("b", range(20, 40)))
    script = tmp_path / "script.py"
    script.write_text(
        "import os, resource\n"
        "from pathlib import Path\n"
        "from tinycats.preparing.preprocess import preprocess\n"
        "from tinycats.runtime.errors import one_line_errors\n"
        "from tinycats.runtime.params import PreprocessParams\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "with one_line_errors():\n"
        f"    settings = PreprocessParams(**{SETTINGS.model_dump()!r})\n"
        f"    preprocess(Path('raw'), Path('out/processed'), {SIZES}, settings=settings, seed=0)\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "error: File too large\n")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_disk_that_fills_up_while_packing_leaves_what_was_there(tmp_path, monkeypatch):
    images = good("a", range(9)) + good("b", range(10, 19))
    prepare(tmp_path, images)
    before = hashes(tmp_path / "processed/photo")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match="No space left"):
        prepare(tmp_path, images)
    assert hashes(tmp_path / "processed/photo") == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["processed", "raw"]


def test_no_worker_outlives_a_killed_stage(tmp_path):
    write_raw(tmp_path / "raw", good("a", range(20)))
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sys, time\n"
        "from tinycats.runtime.parallel import map_in_order\n"
        "def slow(item):\n"
        "    print(os.getpid(), flush=True)\n"
        "    time.sleep(60)\n"
        "if __name__ == '__main__':\n"
        "    list(map_in_order(slow, range(1000)))\n"
    )
    stage = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert stage.stdout is not None
    worker = int(stage.stdout.readline())
    stage.send_signal(signal.SIGKILL)
    stage.wait()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and "zombie" not in Path(f"/proc/{worker}/status").read_text():
        assert time.monotonic() < deadline, "the worker still runs"
        time.sleep(0.05)
    stage.stdout.close()


def test_a_killed_worker_is_one_line(tmp_path):
    with pytest.raises(UserError, match="a worker process was killed"):
        list(parallel.map_in_order(os._exit, [1]))


def test_results_come_in_order_and_items_are_taken_as_needed():
    taken = []

    def items():
        for item in range(2000):
            taken.append(item)
            yield item

    results = parallel.map_in_order(abs, items())
    assert next(results) == 0
    assert len(taken) <= parallel.CHUNK * parallel.AHEAD * parallel.cores()
    assert list(results) == list(range(1, 2000))


def test_raw_data_is_read_only_where_it_must(tmp_path, monkeypatch):
    """Without suspects of duplication there is no second pass over the images."""
    write_raw(tmp_path / "raw", good("a", range(9)) + good("b", range(10, 19)))
    passes = []
    monkeypatch.setattr(module, "read_raw", lambda *arguments: passes.append(arguments) or read_raw(*arguments))
    preprocess(tmp_path / "raw", tmp_path / "processed", SIZES, settings=SETTINGS, seed=0)
    assert len(passes) == 1


def test_metrics_are_json(tmp_path):
    metrics = prepare(tmp_path, good("a", range(9)) + good("b", range(10, 19)))
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics
