from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tinycats.data.processed import Split, load_split
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import SamplerSettings, initial_noise, sample
from tinycats.generator.task import FlowMatchingTask, drop_classes, sample_times, velocity_loss
from tinycats.learning.loop import LoopSettings, train
from tinycats.runtime.history import History
from tinycats.runtime.run_directory import RunDirectory


def make_task(split: Split, classes: list[str], **changes) -> FlowMatchingTask:
    size = split.images.shape[1]
    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=classes, image_size=size, patch_size=size // 4, width=64, depth=2, heads=2))
    settings = {
        "name": "train_dit", "model": model, "train": split, "val": split, "seed": 0, "batch_size": 8, "steps": 300,
        "label_dropout": 0.1, "t_mean": -0.8, "t_std": 0.8, "augmentation": "none", "mirror": True, "sample_every": 10**9,
        "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return FlowMatchingTask(**{**settings, **changes})


def test_the_loss_is_the_error_of_the_velocity() -> None:
    x, noise, prediction = (torch.randn(5, 3, 4, 4) for _ in range(3))
    t = torch.tensor([0.0, 0.2, 0.5, 0.8, 0.9])
    mix = t.view(5, 1, 1, 1)
    z = mix * x + (1 - mix) * noise
    velocity = (prediction - z) / (1 - mix)
    torch.testing.assert_close(velocity_loss(prediction, x, t), (velocity - (x - noise)).square().mean())


def test_the_target_is_never_the_noise(processed: Path) -> None:
    batch = make_task(load_split(processed, "train", 40), ["r", "g", "b"]).batch(0)
    assert (batch["x"] - batch["noise"]).square().mean() > 0.5
    assert batch["x"].min() >= -1
    assert batch["x"].max() <= 1


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
    t = sample_times(20000, -0.8, 0.8, torch.Generator().manual_seed(0))
    logits = torch.logit(t)
    assert t.min() > 0
    assert t.max() < 1
    assert logits.mean().item() == pytest.approx(-0.8, abs=0.02)
    assert logits.std().item() == pytest.approx(0.8, abs=0.02)


def test_label_dropout_trains_the_null_class_and_no_other() -> None:
    weights = one_hot_classes([0, 1, 2] * 2000, 3)
    dropped = drop_classes(weights, 0.1, torch.Generator().manual_seed(0))
    null = dropped[:, -1] == 1
    assert null.float().mean().item() == pytest.approx(0.1, abs=0.015)
    assert torch.equal(dropped[~null], weights[~null])
    assert torch.equal(dropped.sum(1), torch.ones(6000))


def test_a_batch_is_a_function_of_the_step(processed: Path) -> None:
    split = load_split(processed, "train", 40)
    first, again = (make_task(split, ["r", "g", "b"], augmentation="full").batch(7) for _ in range(2))
    other = make_task(split, ["r", "g", "b"], augmentation="full").batch(8)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["noise"], other["noise"])


def test_one_picture_is_learned_and_returned(tmp_path: Path) -> None:
    """The whole method at its smallest: one picture, a few hundred steps, and the sampler returns it."""
    y, x = np.mgrid[0:16, 0:16]
    picture = np.stack([x * 16, y * 16, (x // 4 + y // 4) % 2 * 255], axis=2).astype(np.uint8)
    split = Split(picture[None], np.zeros(1, np.int64), ["one.png"])
    task = make_task(split, ["only"])
    settings = LoopSettings(
        steps=300, batch_size=8, accumulation=1, lr=4e-3, warmup_steps=10, schedule="cosine", beta2=0.95, weight_decay=0.0,
        clip_norm=1.0, ema_decay=0.95, guard_steps=100, precision="fp32", compile=False, log_every=100,
        checkpoint_every_s=1e9, smoke=False,
    )  # fmt: skip
    history = History(tmp_path / "live", tmp_path / "images")
    averaged = train(task, settings, torch.device("cpu"), RunDirectory(tmp_path / "run"), history)
    returned = sample(
        averaged, initial_noise(0, [0, 1], 16), one_hot_classes([0, 0], 1), SamplerSettings("euler", 20, 1.0, 0.0, 1.0)
    )
    target = torch.from_numpy(picture).permute(2, 0, 1) / 127.5 - 1
    assert (returned - target).square().mean().item() < 0.02
