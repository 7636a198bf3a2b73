from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tinycats.figures.confusion import confusion_figure, to_image
from tinycats.figures.sheets import captioned_sheet, class_grid, save_png
from tinycats.runtime.errors import UserError

SIZE = 32


def plain(*colours: tuple[int, int, int]) -> np.ndarray:
    return np.stack([np.full((SIZE, SIZE, 3), colour, np.uint8) for colour in colours])


def dark_columns(image: Image.Image) -> np.ndarray:
    return np.flatnonzero((np.asarray(image.convert("L")) < 128).any(axis=0))


def test_class_grid_has_one_row_a_class_with_its_name_at_the_left():
    red, blue = (255, 0, 0), (0, 0, 255)
    image = class_grid(plain(red, red, red, blue, blue, blue), ["Abyssinian", "Birman"])
    pixels = np.asarray(image)
    margin = image.width - (3 * (SIZE + 2) + 2)
    assert image.height == 2 * (SIZE + 2) + 2
    for column in range(3):
        x = margin + 2 + column * (SIZE + 2) + SIZE // 2
        assert tuple(pixels[2 + SIZE // 2, x]) == red
        assert tuple(pixels[4 + SIZE + SIZE // 2, x]) == blue
    for row in range(2):
        name = image.crop((0, row * (SIZE + 2), margin, (row + 1) * (SIZE + 2)))
        assert len(dark_columns(name)) > 10  # there is a text, and it touches neither edge
        assert dark_columns(name).min() > 0
        assert dark_columns(name).max() < margin - 1


def test_class_grid_refuses_rows_that_are_not_full():
    with pytest.raises(UserError, match="3 images do not fill"):
        class_grid(plain((0, 0, 0), (0, 0, 0), (0, 0, 0)), ["a", "b"])


def test_captions_stand_below_their_pictures_and_fit():
    groups = [plain((0, 255, 0)), plain((0, 255, 0), (0, 255, 0)), plain((0, 255, 0))]
    captions = ["Abyssinian -> British Shorthair (0.99)", "x", "two\nlines"]
    image = captioned_sheet(groups, captions, columns=2)
    pixels = np.asarray(image).astype(int)
    assert ((pixels[:, :, 1] - pixels[:, :, 0]) > 200).sum() == 4 * (SIZE * 4) ** 2  # enlarged fourfold, none covered
    dark = dark_columns(image)
    assert dark.min() > 0
    assert dark.max() < image.width - 1


def test_an_empty_sheet_says_none():
    assert len(dark_columns(captioned_sheet([], [], columns=4))) > 5


def test_large_pictures_are_not_enlarged():
    assert captioned_sheet([np.zeros((1, 200, 200, 3), np.uint8)], ["x"], 1).width < 230


def test_confusion_matrix_shows_shares_of_each_row():
    labels, predicted = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 1, 1, 1])
    axes = confusion_figure(labels, predicted, ["a", "b", "unseen"]).axes[0]
    assert axes.images[0].get_array().tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0, 0, 0]]
    assert sorted(text.get_text() for text in axes.texts if text.get_visible()) == ["0.25", "0.75", "1.00"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "unseen"]


def test_confusion_matrix_of_many_classes_has_no_numbers():
    labels = np.arange(21)
    assert not confusion_figure(labels, labels, [str(i) for i in labels]).axes[0].texts


def test_confusion_matrix_of_a_thousand_classes_is_of_a_size_that_fits_into_memory():
    """It has no names: the figure would have to grow with them, to 280 inches."""
    labels = np.arange(1000)
    figure = confusion_figure(labels, labels, [str(i) for i in labels])
    assert figure.get_size_inches().max() < 40
    assert not figure.axes[0].get_yticklabels()
    assert figure.axes[0].images[0].get_array().shape == (1000, 1000)


@pytest.mark.parametrize("kind", ["picture", "plot"])
def test_equal_figures_are_equal_bytes_without_metadata(tmp_path: Path, kind: str):
    def draw():
        if kind == "picture":
            return class_grid(plain((1, 2, 3), (4, 5, 6)), ["a", "b"])
        return to_image(confusion_figure(np.array([0, 1]), np.array([0, 1]), ["a", "b"]))

    for name in ("first.png", "second.png"):
        save_png(draw(), tmp_path / name)
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert b"matplotlib" not in (tmp_path / "first.png").read_bytes().lower()
    with Image.open(tmp_path / "first.png") as image:
        assert image.format == "PNG"
        assert "Software" not in image.info
