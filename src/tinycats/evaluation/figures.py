"""Pictures for people: sample grids, sheets of captioned pictures, the confusion matrix.

Pictures come as uint8 [N, H, W, 3]. The PNG files hold no time or software name, so that equal content is equal bytes.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix

from tinycats.files import atomic_path
from tinycats.vision import torchvision

FONT_PX = 14
PADDING_PX = 2
TILE_PX = 128  # smaller pictures are enlarged to about this size on captioned sheets
MAX_CLASSES_WITH_NUMBERS = 20
# matplotlib brings a font that knows Latin, Greek and Cyrillic letters.
FONT_PATH = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"


def class_grid(images: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """One row a class, its name at the left. images: uint8 [C * n, H, W, 3], the n pictures of a class in a row."""
    columns = len(images) // len(class_names)
    if columns * len(class_names) != len(images):
        raise ValueError(f"{len(images)} pictures do not fill one row for each of {len(class_names)} classes")
    grid = _grid(images, columns)
    font = ImageFont.truetype(FONT_PATH, FONT_PX)
    margin = max(_text_width(name, font) for name in class_names) + FONT_PX
    sheet = Image.new("RGB", (margin + grid.width, grid.height), "white")
    sheet.paste(grid, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    row_height = images.shape[1] + PADDING_PX
    for row, name in enumerate(class_names):
        middle = PADDING_PX + row * row_height + images.shape[1] // 2
        draw.text((margin - FONT_PX // 2, middle), name, fill="black", font=font, anchor="rm")
    return sheet


def captioned_sheet(groups: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> Image.Image:
    """A sheet of cells, each with its pictures (uint8 [n, H, W, 3]) side by side above a caption, which may have lines.

    Without any cells it is one white picture that says "none".
    """
    font = ImageFont.truetype(FONT_PATH, FONT_PX)
    if not groups:
        groups, captions = [np.full((1, TILE_PX, TILE_PX, 3), 255, np.uint8)], ["none"]
    tiles = [_grid(_enlarge(images), len(images)) for images in groups]
    line_height = FONT_PX + 4
    caption_height = line_height * max(caption.count("\n") + 1 for caption in captions)
    lines = [line for caption in captions for line in caption.split("\n")]
    width = max(max(tile.width for tile in tiles), max(_text_width(line, font) for line in lines)) + FONT_PX
    height = max(tile.height for tile in tiles) + caption_height + FONT_PX // 2
    columns = min(columns, len(tiles))
    sheet = Image.new("RGB", (columns * width, -(-len(tiles) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        x, y = index % columns * width, index // columns * height
        sheet.paste(tile, (x + (width - tile.width) // 2, y))
        for number, line in enumerate(caption.split("\n")):
            draw.text((x + width // 2, y + tile.height + number * line_height), line, "black", font, anchor="ma")
    return sheet


def confusion_figure(labels: np.ndarray, predicted: np.ndarray, classes: Sequence[str]) -> Figure:
    """The confusion matrix, each row (true class) in shares of its pictures; with numbers up to 20 classes."""
    matrix = confusion_matrix(labels, predicted, labels=np.arange(len(classes)), normalize="true")
    numbers = len(classes) <= MAX_CLASSES_WITH_NUMBERS
    side = max(5.0, (0.55 if numbers else 0.28) * len(classes) + 2.5)
    figure = Figure(figsize=(side + 1, side), layout="constrained")
    axes = figure.subplots()
    display = ConfusionMatrixDisplay(matrix, display_labels=list(classes)).plot(
        ax=axes, include_values=numbers, values_format=".2f", xticks_rotation="vertical", cmap="Blues",
        im_kw={"vmin": 0, "vmax": 1}, text_kw={"fontsize": 8},
    )  # fmt: skip
    for text, share in zip(display.text_.flat, matrix.flat, strict=True) if numbers else ():
        text.set_visible(share > 0)
    axes.set(xlabel="predicted", ylabel="true", title=f"{len(labels)} pictures, rows sum to 1")
    return figure


def to_image(figure: Figure) -> Image.Image:
    """The figure as a picture."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return Image.open(buffer)


def save_png(figure: Image.Image | Figure, path: Path) -> None:
    """Write a PNG, atomically and without metadata."""
    with atomic_path(path) as temporary:
        image = to_image(figure) if isinstance(figure, Figure) else figure
        image.save(temporary, format="PNG")


def _grid(images: np.ndarray, columns: int) -> Image.Image:
    batch = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)  # (N, 3, H, W)
    grid = torchvision.utils.make_grid(batch, nrow=columns, padding=PADDING_PX, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def _enlarge(images: np.ndarray) -> np.ndarray:
    """Whole-number enlargement, so that every pixel stays visible."""
    factor = max(1, round(TILE_PX / images.shape[1]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return int(np.ceil(font.getlength(text)))
