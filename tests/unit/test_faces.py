"""The view `face`: squares around heads, what tells heads from the rest, and what is written and said of it."""

import io
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from tinycats.data.processed import load_classes, load_split
from tinycats.data.raw import RawImage, write_raw
from tinycats.preparing import faces as module
from tinycats.preparing.cat_faces import Square, around, cut, find_cat_faces
from tinycats.preparing.heads import best_of_photos, head_scores, not_head
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import PreprocessParams
from tinycats.sources.oxford_pets import Archive, oxford_pets

SHARED = ROOT.parent / "shared" / "data"
SIZE = 16
SETTINGS = PreprocessParams(
    val_fraction=0.2, test_fraction=0.2, min_side_px=20, max_pixels=10_000_000, fit="crop", max_bad_fraction=0.5,
    other_class="dog", features=None, near_duplicates="report", face="boxes", min_faces=3,
)  # fmt: skip


def test_a_square_beyond_the_borders_is_filled_with_reflections():
    pixels = np.arange(16, dtype=np.uint8).reshape(4, 4)[..., None].repeat(3, axis=2) * 10
    image = Image.fromarray(pixels)
    assert (cut(image, Square(0, 0, 4), 4) == pixels).all()
    corner = cut(image, Square(-2, 1, 4), 4)[..., 0]
    assert corner.tolist() == [[60, 50, 40, 50], [100, 90, 80, 90], [140, 130, 120, 130], [100, 90, 80, 90]]
    assert cut(Image.new("RGB", (1, 1), "red"), Square(-3, -3, 9), 4).reshape(-1, 3).tolist() == [[255, 0, 0]] * 16


def test_the_square_of_a_box_has_its_middle_across_and_lies_a_little_higher():
    square = around(10, 20, 40, 30, margin=1.5)
    assert square.side == 60
    assert square.left + square.side / 2 == 30
    assert square.top + square.side / 2 == 35 - 0.05 * 40


def test_overlap_is_intersection_over_union():
    square = Square(0, 0, 2)
    assert square.overlap(square) == 1
    assert square.overlap(Square(1, 0, 2)) == pytest.approx(1 / 3)
    assert square.overlap(Square(5, 5, 2)) == 0


def test_squares_that_are_no_heads_are_from_elsewhere_or_badly_framed():
    head = Square(100, 100, 80)
    squares = [not_head(f"cat/{number}.jpg", 400, 300, [head]) for number in range(100)]
    assert squares == [not_head(f"cat/{number}.jpg", 400, 300, [head]) for number in range(100)]
    overlaps = np.array([square.overlap(head) for square in squares])
    assert (overlaps < 0.6).all()
    assert 0.3 < (overlaps < 0.15).mean() < 0.9
    filled = not_head("cat/1.jpg", 80, 80, [Square(0, 0, 80)])  # the photo has no other place
    assert filled.overlap(Square(0, 0, 80)) < 0.6


def test_the_probe_finds_unsure_heads_and_refuses_what_the_detector_took_for_one():
    rng = np.random.default_rng(0)
    heads, rest = rng.normal(1, 1, (100, 8)), rng.normal(-1, 1, (100, 8))
    # Heads in all photos; the detector is sure of half of them. In ten photos it is unsure about something else as well
    features = np.concatenate([heads, rest[:10]])
    weights = np.concatenate([np.full(50, 5.0), np.full(50, 0.2), np.full(10, 0.3)])
    photos = np.concatenate([np.arange(100), np.arange(50, 60)])
    scores = head_scores(features, weights, photos, rest[10:], np.arange(10, 100))
    assert scores is not None
    assert (scores[50:100] > 0.5).mean() > 0.9
    assert (scores[100:] < 0.5).mean() > 0.9
    best = best_of_photos(scores, photos)
    assert best.sum() == 100
    assert best[50:60].mean() > 0.9
    assert head_scores(features[:10], weights[:10], photos[:10], rest, np.arange(100)) is None


def test_of_equal_candidates_the_first_is_the_best():
    assert best_of_photos(np.array([1.0, 1.0, 0.5, 2.0]), np.array([0, 0, 1, 1])).tolist() == [True, False, False, True]


def photo(class_name: str, number: int, box: tuple[int, int, int, int] | None) -> RawImage:
    """Grey noise with a red head at `box`."""
    pixels = np.random.default_rng(number).integers(90, 160, (60, 80, 1), dtype=np.uint8).repeat(3, axis=2)
    if box:
        left, top, width, height = box
        pixels[top : top + height, left : left + width] = (200, 0, 0)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return RawImage(f"{class_name}/{number:03}.png", class_name, "", content.getvalue(), box)


def prepare(tmp_path: Path, images: list[RawImage], **changes: object) -> dict:
    write_raw(tmp_path / "raw", images)
    settings = SETTINGS.model_copy(update=changes)
    return preprocess(tmp_path / "raw", tmp_path / "processed", [24], settings, 0, tmp_path / "metrics", SIZE)


def test_the_view_has_the_heads_of_the_classes_that_have_enough(tmp_path):
    images = [photo("siamese", number, (20, 15, 24, 24)) for number in range(15)]
    images += [photo("tabby", number, (10, 5, 20, 20) if number < 2 else None) for number in range(100, 112)]
    images += [photo("dog", number, (20, 15, 24, 24)) for number in range(200, 215)]
    metrics = prepare(tmp_path, images)
    assert metrics["faces"] == {
        "searched": 27, "found": 15, "refused": 0, "too_few": {"tabby": metrics["faces"]["too_few"]["tabby"]},
        "classes": {"siamese": 15}, "splits": {"train": 9, "val": 3, "test": 3},
    }  # fmt: skip
    assert metrics["faces"]["too_few"]["tabby"] <= 2
    assert load_classes(tmp_path / "processed/photo") == (["dog", "siamese", "tabby"], "dog")
    assert load_classes(tmp_path / "processed/face") == (["siamese"], None)
    names = set()
    for split in ("train", "val", "test"):
        photos = load_split(tmp_path / "processed/photo", split, 24)
        faces = load_split(tmp_path / "processed/face", split, SIZE)
        assert set(faces.names) <= set(photos.names)  # of the same split
        assert set(faces.labels) == {0}
        names |= set(faces.names)
        # 1.2 times the box: red but for a rim, which is thicker at the top
        for face in faces.images.astype(int):
            assert (face[3:13, 3:13, 0] - face[3:13, 3:13, 1] > 150).all()
            assert (abs(face[0, :, 0] - face[0, :, 1]) < 60).all()
    assert names == {image.name for image in images if image.class_name == "siamese"}
    with Image.open(tmp_path / "metrics/data/faces.png") as sheet:
        assert sheet.height >= SIZE
    assert (tmp_path / "metrics/data/doubtful.png").exists()
    assert not list((tmp_path / "processed").rglob("spool*"))


def test_no_faces_are_one_line_with_counts_and_what_to_do(tmp_path):
    images = [
        photo(class_name, number, None)
        for class_name, first in (("a", 0), ("dog", 10))
        for number in range(first, first + 10)
    ]
    with pytest.raises(UserError) as error:
        prepare(tmp_path, images, face="cat_face")
    assert "cat_face found faces in 0 of 10 photos" in str(error.value)
    assert "-S dit.view=photo -S preprocess.face=null" in str(error.value)
    assert not (tmp_path / "processed").exists()


def test_a_split_without_faces_is_one_line(tmp_path):
    images = [replace(photo("a", number, (20, 15, 24, 24)), split="train") for number in range(10)]
    images += [replace(photo("a", number, None), split=split) for number, split in ((20, "val"), (21, "test"))]
    images += [photo("dog", number, None) for number in range(30, 40)]
    with pytest.raises(UserError, match="boxes found faces in 10 of 12 photos, but none for the split val"):
        prepare(tmp_path, images)


def test_without_opencv_there_is_one_line(monkeypatch):
    from tinycats.preparing import cat_faces

    cat_faces._cascades.cache_clear()
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r"pip install 'tinycats\[faces\]'"):
        find_cat_faces(Image.new("RGB", (50, 50)), 1)
    cat_faces._cascades.cache_clear()


def test_nothing_is_found_in_noise():
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8))
    assert find_cat_faces(noise, 3) == []


def test_a_large_photo_is_searched_at_a_smaller_size_and_answered_at_its_own(monkeypatch):
    class Cascade:
        def detectMultiScale3(self, grey: np.ndarray, **_: object) -> tuple:  # noqa: N802
            assert grey.shape == (160, 320)
            return [[100, 50, 40, 40], [102, 52, 40, 40], [300, 200, 60, 60]], None, [1.0, 2.0, 0.5]

    monkeypatch.setattr("tinycats.preparing.cat_faces._cascades", lambda: (Cascade(),))
    found = find_cat_faces(Image.new("RGB", (640, 320)), 3)
    assert [candidate.weight for candidate in found] == [2.0, 0.5]  # two boxes on one face are one
    assert found[0].square == around(204, 104, 80, 80, 1.5)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real photos are not at hand ({SHARED})")
def test_real_cats_have_faces(tmp_path):
    pets = SHARED / "oxford_pets"
    archives = [
        Archive(pets / "images.tar.gz", "5a76d3f68af842ec013a4b8c051b01cb"),
        Archive(pets / "annotations.tar.gz", "a52e06dcd60f13bd3c295fb0499b5e7f"),
    ]
    images = [
        image for image in oxford_pets(*archives, other_max=1, seed=0) if image.class_name in ("Siamese", "Bengal")
    ]
    images = [image for image in images if int(image.name.rsplit("_", 1)[1].removesuffix(".jpg")) % 4 == 0]
    write_raw(tmp_path / "raw", images)
    names = [image.name for image in images]
    found = module.find_faces(tmp_path / "raw", names, "cat_face", SIZE, None, 10**8, tmp_path / "spool")
    assert found.good.sum() > 0.4 * len(images)
    assert found.pixels[found.rows].shape == (len(found.names), SIZE, SIZE, 3)
