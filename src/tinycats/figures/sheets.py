"""Grids of samples and sheets of captioned images.

Images come as uint8 [N, H, W, 3]. The PNG files hold no time or software name, so that equal content is equal bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinycats.data.pixels import as_tensor
from tinycats.figures.fonts import FONT_PATH, font_of, shown_names, writable
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_path
from tinycats.runtime.vision import torchvision

FONT_PX = 14
PADDING_PX = 2
TILE_PX = 128  # smaller images are enlarged to about this size on captioned sheets


def class_grid(images: np.ndarray, class_names: Sequence[str]) -> Image.Image:
    """One row per class, its name at the left. images: uint8 [C * n, H, W, 3], the n images of a class in a row.

    Raises UserError where there are none, or not as many in each row.
    """
    columns = len(images) // max(len(class_names), 1)
    if not columns or columns * len(class_names) != len(images):
        raise UserError(f"{len(images)} images do not fill one row for each of {len(class_names)} classes")
    grid = tile(images, columns, PADDING_PX)
    names = shown_names(class_names)
    margin = max(_text_width(name, _font(name)) for name in names) + FONT_PX
    sheet = Image.new("RGB", (margin + grid.width, grid.height), "white")
    sheet.paste(grid, (margin, 0))
    draw = ImageDraw.Draw(sheet)
    row_height = images.shape[1] + PADDING_PX
    for row, name in enumerate(names):
        middle = PADDING_PX + row * row_height + images.shape[1] // 2
        draw.text((margin - FONT_PX // 2, middle), name, fill="black", font=_font(name), anchor="rm")
    return sheet


def captioned_sheet(groups: Sequence[np.ndarray], captions: Sequence[str], columns: int) -> Image.Image:
    """A sheet of cells, each with its images (uint8 [n, H, W, 3]) side by side above a caption, which may have lines.

    Without any cells it is one white image that says "none".
    """
    if not groups:
        groups, captions = [np.full((1, TILE_PX, TILE_PX, 3), 255, np.uint8)], ["none"]
    cells = [tile(_enlarge(images), len(images), PADDING_PX) for images in groups]
    line_height = FONT_PX + 4
    caption_height = line_height * max(caption.count("\n") + 1 for caption in captions)
    captions = [caption if font_of(caption.replace("\n", "")) else writable(caption) for caption in captions]
    lines = [line for caption in captions for line in caption.split("\n")]
    width = max(max(cell.width for cell in cells), max(_text_width(line, _font(line)) for line in lines)) + FONT_PX
    height = max(cell.height for cell in cells) + caption_height + FONT_PX // 2
    columns = min(columns, len(cells))
    sheet = Image.new("RGB", (columns * width, -(-len(cells) // columns) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (cell, caption) in enumerate(zip(cells, captions, strict=True)):
        x, y = index % columns * width, index // columns * height
        sheet.paste(cell, (x + (width - cell.width) // 2, y))
        for number, line in enumerate(caption.split("\n")):
            draw.text((x + width // 2, y + cell.height + number * line_height), line, "black", _font(line), anchor="ma")
    return sheet


def save_png(image: Image.Image, path: Path) -> None:
    """Write a PNG, atomically and without metadata."""
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG")


def tile(images: np.ndarray, columns: int, padding_px: int = 0) -> Image.Image:
    """uint8 images [N, H, W, 3] as one image, row by row, with white lines between them."""
    batch = as_tensor(images).permute(0, 3, 1, 2)  # (N, 3, H, W)
    grid = torchvision.utils.make_grid(batch, nrow=columns, padding=padding_px, pad_value=255)
    return Image.fromarray(grid.permute(1, 2, 0).numpy())


def _enlarge(images: np.ndarray) -> np.ndarray:
    """Whole-number enlargement, so that every pixel stays visible."""
    factor = max(1, round(TILE_PX / images.shape[1]))
    return images.repeat(factor, axis=1).repeat(factor, axis=2)


def _font(text: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_of(text) or FONT_PATH, FONT_PX)


def _text_width(text: str, font: ImageFont.FreeTypeFont) -> int:
    return int(np.ceil(font.getlength(text)))
