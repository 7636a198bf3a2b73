from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.training import TRAIN, run_settings
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split, load_split
from tinycats.data.randomness import RowRandom
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, student_sampler
from tinycats.generator.task import FlowMatchingTask, drop_classes, sample_times, velocity_loss
from tinycats.learning.interface import Batch
from tinycats.learning.loop import train
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory


def make_task(split: Split, classes: list[str], **changes) -> FlowMatchingTask:
    size = split.images.shape[1]
    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=classes, image_size=size, patch_size=size // 4, width=64, depth=2, heads=2))
    training = TRAIN.model_copy(update=changes)
    return FlowMatchingTask(
        name="train_dit", model=model, train=split, val=split, seed=0, mirror=True, training=training, sample_every=None,
        device=torch.device("cpu"), dtype=torch.float32,
    )  # fmt: skip


def batch(task: FlowMatchingTask, step: int, rows: range | None = None) -> Batch:
    rows = rows or range(task.training.batch_size)
    indices = task.indices(step)[rows.start : rows.stop]
    images = Images(as_tensor(task.train.images[indices]), torch.from_numpy(task.train.labels[indices]))
    return task.batch(step, rows, images)


def draw(rows: int) -> RowRandom:
    return RowRandom(0, "test", 0, rows, range(rows), torch.device("cpu"))


def test_the_loss_is_the_error_of_the_velocity() -> None:
    x, noise, prediction = (torch.randn(5, 3, 4, 4) for _ in range(3))
    t = torch.tensor([0.0, 0.2, 0.5, 0.8, 0.9])
    mix = t.view(5, 1, 1, 1)
    z = mix * x + (1 - mix) * noise
    velocity = (prediction - z) / (1 - mix)
    torch.testing.assert_close(velocity_loss(prediction, x, t), (velocity - (x - noise)).square().mean())


def test_the_target_is_never_the_noise(processed: Path) -> None:
    first = batch(make_task(load_split(processed, "train", 40), ["r", "g", "b"]), 0)
    assert (first["x"] - first["noise"]).square().mean() > 0.5
    assert first["x"].min() >= -1
    assert first["x"].max() <= 1


def test_the_loss_near_data_is_bounded() -> None:
    x = torch.zeros(1, 3, 4, 4)
    assert velocity_loss(x + 0.1, x, torch.tensor([1.0])).item() == pytest.approx((0.1 / 0.05) ** 2)


def test_validation_knows_a_perfect_and_an_empty_prediction(processed: Path) -> None:
    whole = load_split(processed, "train", 40)
    split = Split(np.array(whole.images[:12]), whole.labels[:12], whole.names[:12])
    task = make_task(split, ["r", "g", "b"])
    x = 2 * torch.from_numpy(split.images).permute(0, 3, 1, 2).float() / 255 - 1

    class Fixed(TinyDiT):
        def forward(self, z, t, h, class_weights):
            return self.answer

    model = Fixed(task.model.config)
    model.answer = x
    assert task.validation_errors(model) == [0, 0, 0]
    model.answer = torch.zeros_like(x)
    assert task.validation_errors(model) == pytest.approx([x.square().mean().item()] * 3)
    assert task.validation_errors(task.model) == task.validation_errors(task.model)


def test_times_are_logit_normal() -> None:
    t = sample_times(draw(20000), -0.8, 0.8)
    logits = torch.logit(t)
    assert t.min() > 0
    assert t.max() < 1
    assert logits.mean().item() == pytest.approx(-0.8, abs=0.02)
    assert logits.std().item() == pytest.approx(0.8, abs=0.02)


def test_label_dropout_trains_the_null_class_and_no_other() -> None:
    weights = one_hot_classes([0, 1, 2] * 2000, 3)
    dropped = drop_classes(weights, 0.1, draw(6000))
    null = dropped[:, -1] == 1
    assert null.float().mean().item() == pytest.approx(0.1, abs=0.015)
    assert torch.equal(dropped[~null], weights[~null])
    assert torch.equal(dropped.sum(1), torch.ones(6000))


def test_a_batch_is_a_function_of_the_step(processed: Path) -> None:
    split = load_split(processed, "train", 40)
    first, again = (batch(make_task(split, ["r", "g", "b"], augmentation="full"), 7) for _ in range(2))
    other = batch(make_task(split, ["r", "g", "b"], augmentation="full"), 8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])


@pytest.mark.parametrize("parts", [[range(8)], [range(4), range(4, 8)], [range(2), range(2, 4), range(4, 8)]])
def test_the_rows_of_a_batch_are_the_same_whoever_makes_them(processed: Path, parts: list[range]) -> None:
    task = make_task(load_split(processed, "train", 40), ["r", "g", "b"], augmentation="full")
    whole = batch(task, 3)
    made = [batch(task, 3, rows) for rows in parts]
    for name, tensor in whole.items():
        assert torch.equal(torch.cat([part[name] for part in made]), tensor), name


def test_one_picture_is_learned_and_returned(tmp_path: Path) -> None:
    """The whole method at its smallest: one picture, a few hundred steps, and the sampler returns it."""
    y, x = np.mgrid[0:16, 0:16]
    picture = np.stack([x * 16, y * 16, (x // 4 + y // 4) % 2 * 255], axis=2).astype(np.uint8)
    split = Split(picture[None], np.zeros(1, np.int64), ["one.png"])
    task = make_task(split, ["only"], steps=300, lr=4e-3, warmup_steps=10, schedule="cosine", ema_decay=0.95)
    history = History(tmp_path / "live", tmp_path / "images")
    run = run_settings(tmp_path, every_steps=100, guard_steps=90)
    averaged = train(task, task.training, run, torch.device("cpu"), RunDirectory(tmp_path / "run"), history)
    returned = sample(averaged, initial_noise(0, [0, 1], 16), one_hot_classes([0, 0], 1), student_sampler(20))
    target = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
    assert (returned - target).square().mean().item() < 0.02
