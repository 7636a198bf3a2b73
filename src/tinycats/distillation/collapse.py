"""Whether a student that is trained against an adversary has collapsed. Its loss does not tell: it need not fall.

The student's images of a class are made from different noise, and have to differ as real ones do. Distances are of pixels: no
network has a say, and any sheet can be measured. Two photos of cats of one breed (64 px, 16 of each of 12 breeds) are 0.71 apart,
two faces of a teacher that a person finds varied 0.64, those of its adversarial student in four steps 0.58. One picture for
all noise has 0. Of the photos' values 3% are saturated, 7% of the breed with the most, and 4% of those of teacher and student.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean

import torch
from torch import Tensor

from tinycats.runtime.errors import UserError

# Half-way from a varied student (0.8 of the photos) to one picture for all noise. Of what the teacher has, where that is less:
# the student of an untrained teacher has not collapsed.
MIN_DIVERSITY = 0.4
# Beyond that of real images, or of the teacher's where they have more: no breed is so far from the others
MAX_SATURATED = 0.1
SATURATED = 0.98  # of values in [-1, 1]
ADVICE = (
    "lower distill.lr or distill.adversary.head_lr, raise distill.adversary.consistency_weight or reconstruction_weight, train "
    "the teacher longer, or use distill=demo, which has no adversary"
)


@dataclass(frozen=True)
class Look:
    """`spread`: root mean square difference of two images of a class. `saturated`: share of the values."""

    spread: float
    saturated: float


def look(classes: Iterable[Tensor]) -> Look:
    """At images in [-1, 1], (N, 3, S, S) for each class. Each class counts alike, one of a single image for its colours alone."""
    spreads, saturated = [], []
    for images in classes:
        if len(images) > 1:
            spreads.append(float(torch.pdist(images.flatten(1)).mean()) / images[0].numel() ** 0.5)
        if len(images):
            saturated.append(float((images.abs() > SATURATED).float().mean()))
    return Look(fmean(spreads) if spreads else 0.0, fmean(saturated))


def check_collapse(step: int, made: Look, real: Look, teacher: Look) -> None:
    """Raise UserError where the student's images differ too little, or too much of them is saturated."""
    needed = MIN_DIVERSITY * min(real.spread, teacher.spread)
    if made.spread < needed:
        raise UserError(
            f"the student has collapsed at step {step}: two of its images of a class differ by {made.spread:.3f} (real ones "
            f"{real.spread:.3f}, the teacher's {teacher.spread:.3f}, needed {needed:.3f}); {ADVICE}"
        )
    allowed = MAX_SATURATED + max(real.saturated, teacher.saturated)
    if made.saturated > allowed:
        raise UserError(
            f"the student's colours have collapsed at step {step}: {made.saturated:.1%} of its values are saturated (real images "
            f"{real.saturated:.1%}, the teacher's {teacher.saturated:.1%}, allowed {allowed:.1%}); {ADVICE}"
        )
