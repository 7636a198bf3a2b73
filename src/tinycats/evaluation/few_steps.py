"""The teacher and its few-step student beside each other, from the same noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image

from tinycats.evaluation.figures import class_grid
from tinycats.models.sampler import SamplerSettings, few_step_settings


def few_step_samplers(teacher: SamplerSettings, fast_steps: int) -> dict[str, SamplerSettings]:
    """Name -> settings: the teacher as it is used, the teacher and the student in `fast_steps`, the student in 2 and in 1."""
    few = {f"student_{steps}": few_step_settings(steps) for steps in (2, 1) if steps < fast_steps}
    student = few_step_settings(fast_steps)
    return {"teacher": teacher, f"teacher_{fast_steps}": replace(teacher, steps=fast_steps), "student": student, **few}


def few_step_grid(pictures: Sequence[np.ndarray], classes: Sequence[str]) -> Image.Image:
    """A row a class, a column for each set of pictures, uint8 [classes x n, S, S, 3]: the first picture of the class."""
    first = [made.reshape(len(classes), -1, *made.shape[1:])[:, 0] for made in pictures]  # (K, S, S, 3) each
    return class_grid(np.stack(first, axis=1).reshape(-1, *first[0].shape[1:]), classes)
