"""The teacher and its student side by side, from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinycats.figures.fonts import FONT_PATH
from tinycats.figures.sheets import FONT_PX, PADDING_PX, class_grid
from tinycats.generator.sampler import student_sampler
from tinycats.runtime.params import SamplerSettings


@dataclass(frozen=True)
class Way:
    """A way of making images: by which model, and how it is sampled."""

    name: str
    model: Literal["teacher", "student"]
    sampler: SamplerSettings

    @property
    def title(self) -> str:
        return f"images: {self.model}, {self.sampler.steps} steps"


def few_step_ways(teacher: SamplerSettings, student: SamplerSettings) -> list[Way]:
    """The teacher as it is used, the teacher in as few steps as the student, the student, and the student in 2 and in 1."""
    few = teacher.model_copy(update={"steps": student.steps})
    return [
        Way("teacher", "teacher", teacher),
        Way(f"teacher_{student.steps}", "teacher", few),
        Way("student", "student", student),
        *(Way(f"student_{steps}", "student", student_sampler(steps)) for steps in (2, 1) if steps < student.steps),
    ]


def few_step_grid(images: Sequence[np.ndarray], ways: Sequence[Way], classes: Sequence[str]) -> Image.Image:
    """A row per class, a column for each set of images, uint8 [classes x n, S, S, 3]: the first image of the class.

    Above each column: whose images they are, and in how many steps they were made.
    """
    first = [made.reshape(len(classes), -1, *made.shape[1:])[:, 0] for made in images]  # (K, S, S, 3) each
    size = first[0].shape[1]
    grid = class_grid(np.stack(first, axis=1).reshape(-1, *first[0].shape[1:]), classes)
    font = ImageFont.truetype(FONT_PATH, min(FONT_PX, size // 5))  # two columns' titles do not touch
    head = 3 * int(font.size)
    sheet = Image.new("RGB", (grid.width, head + grid.height), "white")
    sheet.paste(grid, (0, head))
    draw = ImageDraw.Draw(sheet)
    for column, way in enumerate(reversed(ways)):
        middle = grid.width - PADDING_PX - size // 2 - column * (size + PADDING_PX)
        title = f"{way.model}\n{way.sampler.steps}"
        draw.text((middle, head // 2), title, fill="black", font=font, anchor="mm", align="center")
    return sheet
