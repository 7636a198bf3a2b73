"""An adapter on the student: what it changes in the teacher is added to the student's weights.

So an adapter is trained once, by the teacher's plain flow matching, and works in few steps as well. Task vectors (Ilharco et al.
2023) and LCM-LoRA (Luo et al. 2023) add up changes from one start in the same way; the student started as its teacher.
"""

from __future__ import annotations

from pathlib import Path

import torch

from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.learning.pretrained import CONFIG_NAME, read_config
from tinycats.runtime.errors import UserError

TEACHER = "generator"  # its directory lies beside the student's, in models/ and where they are published


def teacher_of(student: Path) -> Path:
    """The directory of the student's teacher. Raises UserError where it is not beside the student's."""
    teacher = student.resolve().parent / TEACHER
    if not (teacher / CONFIG_NAME).exists():
        raise UserError(f"{student}: is a student, which takes an adapter from its teacher; put that into {teacher}")
    config = read_config(teacher, TinyDiTConfig)
    if config.model_copy(update={"few_step": True}) != read_config(student, TinyDiTConfig):
        raise UserError(
            f"{student}: is a student of another generator than {teacher}; distil it again, or put its own teacher there"
        )
    return teacher


@torch.no_grad()
def add_change(student: TinyDiT, before: TinyDiT, after: TinyDiT) -> TinyDiT:
    """Add to the student's weights, in place, what changed in its teacher's; all three have the same classes."""
    old, new = before.state_dict(), after.state_dict()
    for name, tensor in student.state_dict().items():
        tensor += new[name] - old[name]
    return student
