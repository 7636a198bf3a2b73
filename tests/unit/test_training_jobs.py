"""The training jobs from packed pictures to model directories."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.conftest import SIZE
from tinycats.data.augment import cut
from tinycats.data.processed import Split, load_split
from tinycats.errors import UserError
from tinycats.models.classifier import Classifier, ClassifierConfig
from tinycats.models.evaluator import Evaluator, EvaluatorConfig
from tinycats.models.tinydit import TinyDiT, TinyDiTConfig
from tinycats.training.classification import ClassificationTask
from tinycats.training.classification_job import _middle, train_classification
from tinycats.training.distillation_job import distill_generator
from tinycats.training.generator_job import train_generator

CLASSES = ["red", "green", "blue"]


CONFIG = EvaluatorConfig(classes=CLASSES, image_size=SIZE, width=4)


def evaluator() -> Evaluator:
    torch.manual_seed(0)
    return Evaluator(CONFIG)


def run_classification(processed: Path, path: Path, **changes: Any) -> None:
    settings = {
        "name": "train_evaluator", "network": Evaluator, "config": CONFIG, "image_size": SIZE, "processed": processed,
        "output": path / "model", "metrics": path / "metrics", "runs": path / "runs", "seed": 0, "epochs": 4,
        "batch_size": 8, "accumulation": 1, "lr": 0.01, "weight_decay": 0.0, "warmup_fraction": 0.1, "clip_norm": 1.0,
        "label_smoothing": 0.0, "augmentation": "full", "mirror": True, "min_crop": 0.45, "mixup": 0.0, "cutmix": 0.0,
        "early_stopping_epochs": None, "precision": "fp32", "compile": False, "smoke": False, "wandb": None, "device": "cpu",
        "log_every": 5, "checkpoint_every_s": 1e9,
    }  # fmt: skip
    train_classification(**{**settings, **changes})


def generator_arguments(processed: Path, path: Path, **changes: Any) -> dict[str, Any]:
    settings = {
        "processed": processed, "output": path / "model", "metrics": path / "metrics", "runs": path / "runs", "seed": 0,
        "image_size": SIZE, "patch_size": 8, "width": 32, "depth": 1, "heads": 1, "steps": 30, "batch_size": 8,
        "accumulation": 1, "lr": 0.002, "warmup_steps": 5, "schedule": "constant", "weight_decay": 0.0, "clip_norm": 1.0,
        "ema_decay": 0.9, "label_dropout": 0.1, "t_mean": -0.8, "t_std": 0.8, "augmentation": "none", "mirror": True,
        "guard_steps": 30, "sample_every": 20, "precision": "fp32", "compile": False, "gradient_checkpointing": False,
        "smoke": False, "wandb": None, "device": "cpu", "log_every": 5, "checkpoint_every_s": 1e9,
    }  # fmt: skip
    return {**settings, **changes}


def run_generator(processed: Path, path: Path, **changes: Any) -> None:
    train_generator(**generator_arguments(processed, path, **changes))


def run_distillation(processed: Path, path: Path, **changes: Any) -> None:
    teacher = path / "teacher"
    if not teacher.exists():
        torch.manual_seed(0)
        config = TinyDiTConfig(classes=CLASSES, image_size=SIZE, patch_size=8, width=32, depth=1, heads=1)
        model = TinyDiT(config)
        for linear in (model.final, model.final_modulation):
            torch.nn.init.normal_(linear.weight, std=0.1)
        model.save_pretrained(teacher)
    settings = {
        "processed": processed, "teacher_dir": teacher, "output": path / "model", "metrics": path / "metrics",
        "runs": path / "runs", "seed": 0, "guidance": 2.0, "guidance_low": 0.1, "guidance_high": 0.9, "steps": 20,
        "batch_size": 8, "accumulation": 1, "lr": 0.001, "warmup_steps": 2, "schedule": "cosine", "clip_norm": 1.0,
        "ema_decay": 0.9, "levels": 2, "teacher_share": 0.5, "teacher_steps": 1, "augmentation": "none", "mirror": True,
        "sample_every": 10, "precision": "fp32", "compile": False, "gradient_checkpointing": False, "smoke": False,
        "wandb": None, "device": "cpu", "log_every": 5, "checkpoint_every_s": 1e9,
    }  # fmt: skip
    distill_generator(**{**settings, **changes})


def task(processed: Path, **changes: Any) -> ClassificationTask:
    settings = {
        "name": "t", "model": evaluator(), "train": load_split(processed, "train", SIZE),
        "val": load_split(processed, "val", SIZE), "classes": ["a", "b", "c"], "seed": 0, "batch_size": 8, "steps_per_epoch": 9,
        "steps": 90, "augmentation": "none", "mirror": True, "min_crop": 0.45, "mixup": 0.0, "cutmix": 0.0,
        "label_smoothing": 0.0, "patience": None,
        "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return ClassificationTask(**{**settings, **changes})


class Silent:
    def log(self, step: int, scalars: dict[str, float]) -> None: ...

    def log_image(self, step: int, name: str, image: object) -> None: ...


def test_three_colours_are_learned(processed: Path, tmp_path: Path) -> None:
    run_classification(processed, tmp_path)
    model = Evaluator.from_pretrained(tmp_path / "model")
    test = load_split(processed, "test", SIZE)
    logits, _ = model(torch.from_numpy(np.array(test.images)).permute(0, 3, 1, 2).float() / 255)
    assert (logits.argmax(1).numpy() == test.labels).mean() == 1
    metrics = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert metrics["best_val_top1"] == 1
    assert metrics["n_val"] == 18


def answers(validated: ClassificationTask, *right: int) -> Callable[[object], torch.Tensor]:
    """Ranked classes with this many right first ones, call after call."""
    labels = torch.from_numpy(validated.val.labels)
    calls = iter(right)

    def ranked(_model: object) -> torch.Tensor:
        first = torch.where(torch.arange(len(labels)) < next(calls), labels, (labels + 1) % 3)
        return torch.stack([first, (first + 1) % 3, (first + 2) % 3], dim=1)

    return ranked


def test_the_weights_that_validated_best_are_kept(processed: Path) -> None:
    kept = task(processed)
    kept.ranked_classes = answers(kept, 9, 16, 16, 12)  # type: ignore[method-assign]
    for epoch in range(1, 5):
        torch.nn.init.constant_(kept.model.head.bias, epoch)  # type: ignore[union-attr]
        assert not kept.after_step(9 * epoch, kept.model, Silent())  # type: ignore[arg-type]
    assert kept.best["head.bias"].tolist() == [3, 3, 3]  # the later of the two best
    assert (kept.best_accuracy, kept.best_step) == (pytest.approx(16 / 18), 27)


def test_early_stopping_waits_for_its_epochs(processed: Path) -> None:
    stopping = task(processed, patience=2)
    stopping.ranked_classes = answers(stopping, 9, 10, 10, 10)  # type: ignore[method-assign]
    stops = [stopping.after_step(9 * epoch, stopping.model, Silent()) for epoch in range(1, 5)]  # type: ignore[arg-type]
    assert stops == [False, False, False, True]


def test_mixup_mixes_pictures_and_targets_alike(processed: Path) -> None:
    plain, mixed = task(processed).batch(0), task(processed, mixup=0.4).batch(0)
    share = (mixed["targets"] * plain["targets"]).sum(1)  # what is left of the own class
    assert torch.allclose(mixed["targets"].sum(1), torch.ones(8))
    assert share.min() < 1
    index = int(share.argmin())
    weight = share[index]
    expected = weight * plain["pixels"][index] + (1 - weight) * plain["pixels"].flip(0)[index]
    torch.testing.assert_close(mixed["pixels"][index], expected)


def test_crops_of_training_and_the_middle_that_is_validated_have_one_size(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    forward = Evaluator.forward
    monkeypatch.setattr(Evaluator, "forward", lambda self, x: seen.append(tuple(x.shape)) or forward(self, x))
    whole = []
    run_classification(
        processed, tmp_path, crop_size=32, epochs=2, calibrate=lambda _, val: whole.append(val.images.shape)
    )
    assert {shape[2:] for shape in seen} == {(32, 32)}
    assert whole == [(18, SIZE, SIZE, 3)]


def test_the_classifier_sees_the_middle_of_a_picture() -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=CLASSES, other=None, arch="resnet18", image_size=40, crop_size=33, flip_at_test=True
    )
    model = Classifier(config).eval()
    images = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
    middle = torch.from_numpy(_middle(images.numpy(), 33))
    whole = Classifier(config.model_copy(update={"image_size": 33, "crop_size": None})).eval()
    whole.load_state_dict(model.state_dict())
    assert torch.equal(model.predict(images), whole.predict(middle))
    edges = images.clone()
    edges[:, :4] = 0
    edges[:, 37:] = 0
    edges[:, :, :4] = 0
    edges[:, :, 37:] = 0
    assert torch.equal(model.predict(edges), model.predict(images))


def test_cutmix_pastes_a_rectangle_and_weighs_the_targets_by_its_area(processed: Path) -> None:
    plain = task(processed).batch(0)
    pasted = []
    for step in range(8):
        pixels, targets = cut(plain["pixels"], plain["targets"], np.random.default_rng(step))
        other = plain["pixels"].flip(0)
        theirs = (pixels == other).all(dim=1)
        assert ((pixels == plain["pixels"]).all(dim=1) | theirs).all()
        share = theirs[0].float().mean()
        pasted.append(float(share))
        expected = (1 - share) * plain["targets"] + share * plain["targets"].flip(0)
        torch.testing.assert_close(targets, expected)
    assert max(pasted) > 0.3 > 0.1 > min(pasted)


def test_cutmix_takes_its_share_of_the_batches(processed: Path) -> None:
    plain, half = task(processed), task(processed, cutmix=0.5)
    changed = [not torch.equal(half.batch(step)["pixels"], plain.batch(step)["pixels"]) for step in range(40)]
    assert 10 <= sum(changed) <= 30


def test_crops_have_the_size_of_validation_and_two_thirds_of_it_at_first(processed: Path) -> None:
    large = load_split(processed, "train", SIZE)
    small = Split(large.images[:, ::2, ::2], large.labels, large.names)
    cropped = task(processed, val=small, augmentation="full", small_first=0.5)
    assert cropped.batch(cropped.steps // 2)["pixels"].shape[2:] == (SIZE // 2, SIZE // 2)
    assert cropped.batch(0)["pixels"].shape[2:] == (round(SIZE / 3 / 8) * 8, round(SIZE / 3 / 8) * 8)


def test_label_smoothing_raises_the_smallest_loss(processed: Path) -> None:
    batch = task(processed).batch(0)
    sure = 100 * batch["targets"]

    def loss(smoothing: float) -> float:
        smoothed = task(processed, label_smoothing=smoothing)
        return smoothed.loss(lambda pixels: (sure, None), batch).item()  # type: ignore[arg-type]

    assert loss(0.0) == pytest.approx(0, abs=1e-6)
    assert loss(0.1) == pytest.approx(0.1 * 100 * 2 / 3, rel=1e-4)


def test_what_is_saved_is_the_average(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path)
    saved = load_file(tmp_path / "model/model.safetensors")
    state = torch.load(next((tmp_path / "runs").glob("*/state-*.pt")), weights_only=True)
    different = 0
    for name, tensor in saved.items():
        assert torch.equal(tensor, state["average"][f"module.{name}"])
        different += not torch.equal(tensor, state["model"][name])
    assert different > 5
    assert TinyDiT.from_pretrained(tmp_path / "model").config.classes == CLASSES


def test_sample_grids_appear_during_training(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path)
    grids = sorted(path.name for path in (tmp_path / "metrics/plots/images").iterdir())
    assert grids == ["samples_0000020.png", "samples_0000030.png"]


def test_a_student_is_its_teacher_taught(processed: Path, tmp_path: Path) -> None:
    run_distillation(processed, tmp_path)
    teacher, student = (TinyDiT.from_pretrained(tmp_path / name) for name in ("teacher", "model"))
    assert student.config == teacher.config.model_copy(update={"few_step": True})
    moved = [
        name for name, tensor in student.state_dict().items() if not torch.equal(tensor, teacher.state_dict()[name])
    ]
    assert len(moved) > 5
    assert any(name.startswith("h_embedding") for name in moved), moved
    grids = sorted(path.name for path in (tmp_path / "metrics/plots/images").iterdir())
    assert grids == ["samples_0000010.png", "samples_0000020.png"]
    figures = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert (figures["steps"], figures["pictures_seen"], figures["n_train"]) == (20, 160, 72)
    assert all(figures[f"val_mse_{steps}"] > 0 for steps in (1, 2, 4))


def test_another_guidance_or_teacher_is_another_student(processed: Path, tmp_path: Path) -> None:
    run_distillation(processed, tmp_path)
    run_distillation(processed, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 1
    run_distillation(processed, tmp_path, guidance=3.0)
    assert len(list((tmp_path / "runs").iterdir())) == 2
    run_generator(processed, tmp_path, output=tmp_path / "teacher", runs=tmp_path / "others", metrics=tmp_path / "more")
    run_distillation(processed, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_a_teacher_of_other_classes_is_one_line(processed: Path, tmp_path: Path) -> None:
    config = TinyDiTConfig(classes=["a", "b"], image_size=SIZE, patch_size=8, width=32, depth=1, heads=1)
    TinyDiT(config).save_pretrained(tmp_path / "teacher")
    with pytest.raises(UserError, match="teacher: was trained on other classes"):
        run_distillation(processed, tmp_path)
    assert not (tmp_path / "runs").exists()


def test_another_seed_is_another_run(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path)
    run_generator(processed, tmp_path, seed=1)
    run_generator(processed, tmp_path, steps=40)  # continues the first
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_imagenet_weights_without_a_network_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    model = Classifier(
        ClassifierConfig(classes=CLASSES, other=None, arch="resnet18", image_size=64, flip_at_test=False)
    )
    with pytest.raises(UserError, match=r"could not be downloaded .* classifier\.pretrained=false"):
        model.load_imagenet()


def test_the_network_that_validated_best_is_calibrated_before_it_is_saved(processed: Path, tmp_path: Path) -> None:
    calls: list[tuple[bool, int]] = []

    def calibrate(model: Evaluator, val: Split) -> None:
        calls.append((torch.equal(model.head.weight, saved["head.weight"]), len(val.labels)))
        model.config = model.config.model_copy(update={"classes": ["calibrated", "b", "c"]})

    run_classification(processed, tmp_path)
    saved = load_file(tmp_path / "model/model.safetensors")
    run_classification(processed, tmp_path, calibrate=calibrate)
    assert calls == [(True, len(load_split(processed, "val", SIZE).labels))]
    assert Evaluator.from_pretrained(tmp_path / "model").config.classes == ["calibrated", "b", "c"]
    run_classification(processed, tmp_path, calibrate=calibrate, smoke=True)
    assert len(calls) == 1


def test_mirrored_twins_are_averaged() -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(classes=CLASSES, other=None, arch="resnet18", image_size=64, flip_at_test=False)
    model = Classifier(config).eval()
    images = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8)
    straight, mirrored = model.predict(images), model.predict(images.flip(2))
    model.config = config.model_copy(update={"flip_at_test": True})
    torch.testing.assert_close(model.predict(images), (straight + mirrored) / 2)
