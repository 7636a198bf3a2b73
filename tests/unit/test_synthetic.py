from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from sklearn.neighbors import NearestCentroid

from tinycats.runtime.errors import UserError
from tinycats.sources.synthetic import CLASSES, render, synthetic_images


def thumbnails(indices: range, side_px: int = 16) -> tuple[np.ndarray, list[str]]:
    """Images of every class, box-averaged to `side_px`: float [N, side_px * side_px * 3], and their classes."""
    images = np.stack([render(name, index, 0, 64) for name in CLASSES for index in indices]).astype(float)
    cell = 64 // side_px
    small = images.reshape(len(images), side_px, cell, side_px, cell, 3).mean(axis=(2, 4))
    return small.reshape(len(small), -1), [name for name in CLASSES for _ in indices]


def test_there_are_twelve_breeds_and_other() -> None:
    assert len(set(CLASSES)) == 13
    assert CLASSES[-1] == "other"


@pytest.mark.parametrize("class_name", CLASSES)
def test_an_image_is_a_pure_function_of_its_arguments(class_name: str) -> None:
    image = render(class_name, 3, 7, 32)
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, render(class_name, 3, 7, 32))
    assert (image != render(class_name, 4, 7, 32)).any()
    assert (image != render(class_name, 3, 8, 32)).any()


def test_size_changes_the_resolution_and_not_the_scene() -> None:
    large = np.asarray(Image.fromarray(render("Bengal", 0, 0, 128)).reduce(4), dtype=float)
    assert np.abs(large - np.asarray(Image.fromarray(render("Bengal", 0, 0, 64)).reduce(2), dtype=float)).mean() < 4


def test_no_two_images_are_the_same() -> None:
    images = {render(name, index, 0, 32).tobytes() for name in CLASSES for index in range(20)}
    assert len(images) == len(CLASSES) * 20


def test_unknown_class_is_one_line() -> None:
    with pytest.raises(UserError, match=r"'Tabby'.*Abyssinian"):
        render("Tabby", 0, 0, 32)


def test_generator_yields_each_class_and_png_files_of_the_rendered_pixels() -> None:
    images = list(synthetic_images(images_per_class=3, seed=5, size_px=24))
    assert Counter(image.class_name for image in images) == dict.fromkeys(CLASSES, 3)
    assert [image.name for image in images[:3]] == [f"{CLASSES[0]}/{index:05d}.png" for index in range(3)]
    assert {image.split for image in images} == {""}
    for image in images:
        index = int(image.name.removeprefix(f"{image.class_name}/").removesuffix(".png"))
        with Image.open(io.BytesIO(image.content)) as decoded:
            assert decoded.format == "PNG"
            np.testing.assert_array_equal(np.asarray(decoded), render(image.class_name, index, 5, 24))
    assert images == list(synthetic_images(images_per_class=3, seed=5, size_px=24))


def test_classes_differ_in_large_areas() -> None:
    """The nearest class mean of 16 px thumbnails finds the breed: no fine detail is needed to tell them apart."""
    pixels, names = thumbnails(range(20))
    unseen, expected = thumbnails(range(100, 110))
    found = NearestCentroid().fit(pixels, names).predict(unseen)
    assert np.mean(found == np.array(expected)) > 0.7  # 0.84 when written; chance is 0.08
