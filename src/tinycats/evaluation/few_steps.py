"""The teacher and its few-step student beside each other, from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tinycats.evaluation.figures import FONT_PATH, FONT_PX, PADDING_PX, class_grid
from tinycats.models.sampler import SamplerSettings, few_step_settings


def few_step_samplers(teacher: SamplerSettings, fast_steps: int) -> dict[str, SamplerSettings]:
    """Name -> settings: the teacher as it is used, the teacher and the student in `fast_steps`, the student in 2 and in 1."""
    few = {f"student_{steps}": few_step_settings(steps) for steps in (2, 1) if steps < fast_steps}
    student = few_step_settings(fast_steps)
    return {"teacher": teacher, f"teacher_{fast_steps}": replace(teacher, steps=fast_steps), "student": student, **few}


def few_step_grid(
    pictures: Sequence[np.ndarray], samplers: Sequence[SamplerSettings], classes: Sequence[str]
) -> Image.Image:
    """A row a class, a column for each set of pictures, uint8 [classes x n, S, S, 3]: the first picture of the class.

    Above each column: whose pictures they are, and in how many steps `samplers` makes them.
    """
    first = [made.reshape(len(classes), -1, *made.shape[1:])[:, 0] for made in pictures]  # (K, S, S, 3) each
    size = first[0].shape[1]
    grid = class_grid(np.stack(first, axis=1).reshape(-1, *first[0].shape[1:]), classes)
    font = ImageFont.truetype(FONT_PATH, min(FONT_PX, size // 5))  # two columns' titles do not touch
    head = 3 * int(font.size)
    sheet = Image.new("RGB", (grid.width, head + grid.height), "white")
    sheet.paste(grid, (0, head))
    draw = ImageDraw.Draw(sheet)
    for column, settings in enumerate(reversed(samplers)):
        middle = grid.width - PADDING_PX - size // 2 - column * (size + PADDING_PX)
        title = f"{'student' if settings.few_step else 'teacher'}\n{settings.steps}"
        draw.text((middle, head // 2), title, fill="black", font=font, anchor="mm", align="center")
    return sheet
