from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.unit.training import DISTILL, GUIDANCE, run_settings
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import load_split
from tinycats.data.randomness import RowRandom
from tinycats.distillation.consistency import ConsistencyTask, row_levels, sample_starts
from tinycats.distillation.task import REFERENCE_STEPS, follow, guided_velocity, mean_velocity
from tinycats.distillation.training import distill_generator
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, student_sampler
from tinycats.generator.task import sample_classes
from tinycats.learning.interface import Batch
from tinycats.learning.loop import train
from tinycats.runtime.errors import UserError
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory

CLASSES = ["r", "g", "b"]


def make_teacher() -> TinyDiT:
    """Untrained, but its answer depends on everything that it is told."""
    torch.manual_seed(1)
    teacher = TinyDiT(TinyDiTConfig(classes=CLASSES, image_size=40, patch_size=10, width=32, depth=1, heads=1))
    for linear in (teacher.final, teacher.final_modulation, teacher.blocks[0].modulation):
        torch.nn.init.normal_(linear.weight, std=0.05)
    return teacher.eval().requires_grad_(False)


def make_task(processed: Path, **changes: Any) -> ConsistencyTask:
    teacher = make_teacher()
    student = TinyDiT(teacher.config.model_copy(update={"few_step": True}))
    student.load_state_dict(teacher.state_dict())
    training = DISTILL.model_copy(update={"batch_size": 16, "steps": 150, "levels": 3, "teacher_steps": 2, **changes})
    return ConsistencyTask(
        name="distill", model=student, teacher=teacher, guidance=GUIDANCE, train=load_split(processed, "train", 40),
        seed=0, mirror=True, training=training, sample_every=None, device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


def batch(task: ConsistencyTask, step: int) -> Batch:
    indices, rows = task.indices(step), range(task.training.batch_size)
    images = Images(as_tensor(task.train.images[indices]), torch.from_numpy(task.train.labels[indices]))
    return task.batch(step, rows, images)


def test_levels_are_dealt_out_in_turn() -> None:
    dealt = [row_levels(step * 16, 16, 3, 0.5) for step in range(24)]
    assert all(levels.tolist() == sorted(levels.tolist(), reverse=True) for levels in dealt)
    counts = torch.bincount(torch.cat(dealt))
    assert counts.tolist() == [64, 64, 64, 192]  # of 384
    assert all((levels == 3).sum() == 8 for levels in dealt)
    halves = torch.cat([row_levels(0, 8, 3, 0.5), row_levels(8, 8, 3, 0.5)])
    assert sorted(halves.tolist()) == sorted(dealt[0].tolist())  # whoever shares the batch


def test_steps_start_at_multiples_of_their_length_and_end_by_one() -> None:
    h = 0.5 ** torch.randint(4, (4000,), generator=torch.Generator().manual_seed(0))
    t = sample_starts(h, RowRandom(0, "test", 0, 4000, range(4000), torch.device("cpu")))
    assert ((t / h) % 1 == 0).all()
    assert (t >= 0).all()
    assert (t + h <= 1).all()
    assert set(t[h == 0.125].tolist()) == {i / 8 for i in range(8)}
    assert set(t[h == 1].tolist()) == {0}


def test_following_a_straight_way_takes_any_number_of_steps_to_the_same_place() -> None:
    z, direction = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    t, h = torch.tensor([0.0, 0.25, 0.5, 0.75]), torch.full((4,), 0.25)
    for steps in (1, 2, 5):
        torch.testing.assert_close(follow(lambda z, t, h: direction, z, t, h, steps), direction)


def test_following_a_bent_way_is_eulers_method() -> None:
    # dz/dt = z: two steps of 1/8 multiply by (1 + 1/8)^2
    z, t, h = torch.ones(1, 3, 4, 4), torch.zeros(1), torch.full((1,), 0.25)
    seen: list[tuple[float, float]] = []

    def velocity(state: Tensor, time: Tensor, length: Tensor) -> Tensor:
        seen.append((time.item(), length.item()))
        return state

    mean = follow(velocity, z, t, h, 2)
    torch.testing.assert_close(z + 0.25 * mean, z * 1.125**2)
    assert seen == [(0.0, 0.125), (0.125, 0.125)]


def test_the_teachers_way_is_the_samplers_way() -> None:
    teacher = make_teacher()
    weights = one_hot_classes([0, 1, 2], 3)
    noise = initial_noise(0, range(3), 40)
    start, whole = torch.zeros(3), torch.ones(3)
    velocity = guided_velocity(teacher, weights, GUIDANCE)
    end = noise + follow(velocity, noise, start, whole, 8)
    expected = sample(teacher, noise, weights, GUIDANCE.model_copy(update={"steps": 8}))
    torch.testing.assert_close(end.clamp(-1, 1), expected, atol=1e-4, rtol=1e-4)


def test_one_step_of_the_student_is_one_step_of_its_sampler() -> None:
    student = make_teacher()
    student.config = student.config.model_copy(update={"few_step": True})
    weights, noise = one_hot_classes([0, 1], 3), initial_noise(0, range(2), 40)
    once = mean_velocity(student, weights)(noise, torch.zeros(2), torch.ones(2))
    torch.testing.assert_close((noise + once).clamp(-1, 1), sample(student, noise, weights, student_sampler(1)))


@pytest.mark.parametrize(("share", "wants"), [(1 - 1e-9, "teacher"), (1e-9, "student")])
def test_who_sets_the_target(processed: Path, monkeypatch: pytest.MonkeyPatch, share: float, wants: str) -> None:
    task = make_task(processed, teacher_share=share)
    first = batch(task, 0)
    z, t, h, weights = (first[name] for name in ("z", "t", "h", "class_weights"))
    if wants == "teacher":
        expected = follow(guided_velocity(task.teacher, weights, GUIDANCE), z, t, h, 2)
    else:
        expected = follow(mean_velocity(task.model, weights), z, t, h, 2)
    with torch.no_grad():
        error = (mean_velocity(task.model, weights)(z, t, h) - expected).square().mean()
    assert task.loss(task.model, first).item() == pytest.approx(error.item(), rel=1e-4)
    assert task.loss(task.model, first).requires_grad


def test_a_student_learns_the_teachers_pictures_in_one_step(processed: Path, tmp_path: Path) -> None:
    task = make_task(processed, lr=2e-3, warmup_steps=10)

    def error_of(model: TinyDiT, steps: int) -> float:
        made, asked = (
            sample_classes(network, settings, task.device, task.dtype)
            for network, settings in (
                (model, student_sampler(steps)),
                (task.teacher, GUIDANCE.model_copy(update={"steps": REFERENCE_STEPS})),
            )
        )
        return float((made - asked).square().mean())

    before = error_of(task.model, 1)
    history, run = History(tmp_path / "metrics", tmp_path / "images"), run_settings(tmp_path, every_steps=50)
    student = train(task, task.training, run, task.device, RunDirectory(tmp_path / "run"), history)
    assert isinstance(student, TinyDiT)
    for steps in (1, 2, 4):
        assert error_of(student, steps) < 0.5 * before
    logged = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert logged["val_mse_2"] == pytest.approx(error_of(student, 2), rel=1e-4)


def test_a_student_teaches_nobody(processed: Path, tmp_path: Path) -> None:
    student = TinyDiT(make_teacher().config.model_copy(update={"few_step": True}))
    student.save_pretrained(tmp_path / "student")
    with pytest.raises(UserError, match="is a student; the teacher must be"):
        distill_generator(
            processed, tmp_path / "student", tmp_path / "out", tmp_path / "metrics", seed=0, mirror=True, guidance=GUIDANCE,
            training=DISTILL, run=run_settings(tmp_path),
        )  # fmt: skip
