from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tinycats.data.processed import load_split
from tinycats.distillation.task import (
    DistillationTask,
    follow,
    guided_velocity,
    mean_velocity,
    sample_intervals,
)
from tinycats.distillation.training import distill_generator
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import SamplerSettings, few_step_settings, initial_noise, sample
from tinycats.learning.loop import LoopSettings, train
from tinycats.runtime.errors import UserError
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory

CLASSES = ["r", "g", "b"]
GUIDANCE = SamplerSettings("euler", 1, 2.0, 0.1, 0.9)


def make_teacher() -> TinyDiT:
    """Untrained, but its answer depends on everything that it is told."""
    torch.manual_seed(1)
    teacher = TinyDiT(TinyDiTConfig(classes=CLASSES, image_size=40, patch_size=10, width=32, depth=1, heads=1))
    for linear in (teacher.final, teacher.final_modulation, teacher.blocks[0].modulation):
        torch.nn.init.normal_(linear.weight, std=0.05)
    return teacher.eval().requires_grad_(False)


def make_task(processed: Path, **changes: Any) -> DistillationTask:
    teacher = make_teacher()
    student = TinyDiT(teacher.config.model_copy(update={"few_step": True}))
    student.load_state_dict(teacher.state_dict())
    settings = {
        "name": "distill", "model": student, "teacher": teacher, "guidance": GUIDANCE, "seed": 0, "batch_size": 16,
        "train": load_split(processed, "train", 40), "steps": 150, "levels": 3, "teacher_share": 0.5, "teacher_steps": 2,
        "augmentation": "none", "mirror": True, "sample_every": 10**9, "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return DistillationTask(**{**settings, **changes})


def test_intervals_are_halvings_that_end_by_one() -> None:
    t, h = sample_intervals(4000, 3, 0.5, torch.Generator().manual_seed(0))
    assert set(h.tolist()) == {1, 0.5, 0.25, 0.125}
    assert (h == 0.125).float().mean() == pytest.approx(0.5, abs=0.03)
    assert (h == 1).float().mean() == pytest.approx(1 / 6, abs=0.03)
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
    expected = sample(teacher, noise, weights, SamplerSettings("euler", 8, 2.0, 0.1, 0.9))
    torch.testing.assert_close(end.clamp(-1, 1), expected, atol=1e-4, rtol=1e-4)


def test_one_step_of_the_student_is_one_step_of_its_sampler() -> None:
    student = make_teacher()
    weights, noise = one_hot_classes([0, 1], 3), initial_noise(0, range(2), 40)
    once = mean_velocity(student, weights)(noise, torch.zeros(2), torch.ones(2))
    torch.testing.assert_close((noise + once).clamp(-1, 1), sample(student, noise, weights, few_step_settings(1)))


@pytest.mark.parametrize(("share", "wants"), [(1 - 1e-9, "teacher"), (1e-9, "student")])
def test_who_sets_the_target(processed: Path, monkeypatch: pytest.MonkeyPatch, share: float, wants: str) -> None:
    task = make_task(processed, teacher_share=share)
    batch = task.batch(0)
    z, t, h, weights = (batch[name] for name in ("z", "t", "h", "class_weights"))
    if wants == "teacher":
        expected = follow(guided_velocity(task.teacher, weights, GUIDANCE), z, t, h, 2)
    else:
        expected = follow(mean_velocity(task.model, weights), z, t, h, 2)
    with torch.no_grad():
        error = (mean_velocity(task.model, weights)(z, t, h) - expected).square().mean()
    assert task.loss(task.model, batch).item() == pytest.approx(error.item(), rel=1e-4)
    assert task.loss(task.model, batch).requires_grad


def test_a_student_learns_the_teachers_pictures_in_one_step(processed: Path, tmp_path: Path) -> None:
    task = make_task(processed)
    before = task.error_of(task.teacher, SamplerSettings("euler", 1, 1.0, 0.0, 1.0))
    settings = LoopSettings(
        steps=150, batch_size=16, accumulation=1, lr=2e-3, warmup_steps=10, schedule="cosine", beta2=0.95, weight_decay=0,
        clip_norm=1.0, ema_decay=0.9, guard_steps=0, precision="fp32", compile=False, log_every=50, checkpoint_every_s=1e9,
        smoke=False,
    )  # fmt: skip
    history = History(tmp_path / "metrics", tmp_path / "images")
    student = train(task, settings, torch.device("cpu"), RunDirectory(tmp_path / "run"), history)
    assert isinstance(student, TinyDiT)
    for steps in (1, 2, 4):
        assert task.error_of(student, few_step_settings(steps)) < 0.5 * before
    assert task.error == pytest.approx(
        sum(task.error_of(student, few_step_settings(steps)) for steps in (1, 2, 4)) / 3, rel=1e-4
    )


def test_a_student_teaches_nobody(processed: Path, tmp_path: Path) -> None:
    student = TinyDiT(make_teacher().config.model_copy(update={"few_step": True}))
    student.save_pretrained(tmp_path / "student")
    with pytest.raises(UserError, match="is a few-step student"):
        distill_generator(
            processed=processed, teacher_dir=tmp_path / "student", output=tmp_path / "out", metrics=tmp_path / "metrics",
            runs=tmp_path / "runs", seed=0, guidance=2.0, guidance_low=0.1, guidance_high=0.9, steps=2, batch_size=4,
            accumulation=1, lr=1e-3, warmup_steps=1, schedule="cosine", clip_norm=1.0, ema_decay=0.9, levels=3,
            teacher_share=0.5, teacher_steps=2, augmentation="none", mirror=True, sample_every=10, precision="fp32",
            compile=False, gradient_checkpointing=False, smoke=False, wandb=None, device="cpu", log_every=1,
            checkpoint_every_s=1e9,
        )  # fmt: skip
