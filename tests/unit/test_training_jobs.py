"""The training jobs from packed pictures to model directories."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.conftest import ROOT, SIZE
from tests.unit.training import (
    CLASSES,
    CLASSIFIER,
    GUIDANCE,
    NETWORK,
    run_classifier,
    run_distillation,
    run_generator,
    split,
)
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.classifier.task import ClassificationTask
from tinycats.commands.params import compose
from tinycats.data.augment import cut
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split, load_split
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.training import train_generator
from tinycats.learning.interface import Batch
from tinycats.learning.optimizer import adamw
from tinycats.runtime.errors import UserError

CONFIG = ClassifierConfig(
    classes=CLASSES, other=None, arch="test_efficientnet", image_size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3,
    flip_at_test=False,
)  # fmt: skip


def classifier() -> Classifier:
    torch.manual_seed(0)
    return Classifier(CONFIG)


def task(processed: Path, **changes: Any) -> ClassificationTask:
    training, others = split(CLASSIFIER, {"augmentation": "none", "epochs": 10, **changes})
    settings = {
        "name": "t", "model": classifier(), "train": load_split(processed, "train", SIZE),
        "val": load_split(processed, "val", SIZE), "classes": ["a", "b", "c"],
        "crop_size": training.crop_size or SIZE, "seed": 0, "mirror": True,
        "training": training, "device": torch.device("cpu"), "dtype": torch.float32,
    }  # fmt: skip
    return ClassificationTask(**{**settings, **others})


def batch(of: ClassificationTask, step: int) -> Batch:
    indices = of.indices(step)
    images = Images(as_tensor(of.train.images[indices]), torch.from_numpy(of.train.labels[indices]))
    return of.batch(step, range(of.training.batch_size), images)


def neighbours(rows: torch.Tensor) -> torch.Tensor:
    return rows[[1, 0, 3, 2, 5, 4, 7, 6]]


class Silent:
    def log(self, step: int, scalars: dict[str, float]) -> None: ...

    def log_image(self, step: int, name: str, image: object) -> None: ...


def test_three_colours_are_learned(processed: Path, tmp_path: Path) -> None:
    run_classifier(processed, tmp_path)
    model = Classifier.from_pretrained(tmp_path / "model")
    test = load_split(processed, "test", SIZE)
    probabilities, distances = model.predict(as_tensor(test.images))
    assert (probabilities.argmax(1).numpy() == test.labels).mean() == 1
    assert distances.shape == (18,)
    assert model.config.distance_dims == 64  # of 72 training images
    assert model.config.distance_limit is None  # of 18 images for validation none is the 95% largest
    metrics = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert metrics["val_top1"] == 1
    assert metrics["n_val"] == 18


def relabelled(processed: Path, path: Path, num_classes: int) -> Path:
    """The processed data set with other classes, in turn; the first images of each split have the first ones."""
    shutil.copytree(processed, path)
    rows = ["name,label,split,row"]
    for name in ("train", "val", "test"):
        count = len(np.load(path / f"{name}_{SIZE}.npy"))
        rows += [f"{name}{row}.png,{row % num_classes},{name},{row}" for row in range(count)]
    (path / "index.csv").write_text("\n".join(rows) + "\n")
    classes = [f"class {number}" for number in range(num_classes)]
    (path / "classes.json").write_text(json.dumps({"classes": classes, "other": None, "fit": "crop"}))
    return path


def test_one_class_is_one_line(processed: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data: has one class, 'class 0'; a classifier needs at least two"):
        run_classifier(relabelled(processed, tmp_path / "data", 1), tmp_path)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("num_classes", [2, 1000])
def test_two_classes_and_a_thousand_are_trained_and_calibrated(
    processed: Path, tmp_path: Path, num_classes: int
) -> None:
    run_classifier(relabelled(processed, tmp_path / "data", num_classes), tmp_path, max_steps=5, cutmix=0.5, mixup=0.2)
    model = Classifier.from_pretrained(tmp_path / "model")
    probabilities, distances = model.predict(as_tensor(load_split(processed, "test", SIZE).images))
    assert probabilities.shape == (18, num_classes)
    assert probabilities.sum(1).tolist() == pytest.approx([1] * 18, abs=1e-5)
    assert torch.isfinite(distances).all()


def test_grey_images_are_learned(processed: Path, tmp_path: Path) -> None:
    grey = tmp_path / "data"
    shutil.copytree(processed, grey)
    for name in ("train", "val", "test"):
        path = grey / f"{name}_{SIZE}.npy"
        images = np.load(path)
        labels = load_split(processed, name, SIZE).labels
        shade = (60 + 60 * labels[:, None, None, None] + images[..., :1] // 8).astype(np.uint8)
        np.save(path, shade.repeat(3, axis=3))
    run_classifier(grey, tmp_path, augmentation="none")
    model = Classifier.from_pretrained(tmp_path / "model")
    test = load_split(grey, "test", SIZE)
    assert (model.predict(as_tensor(test.images))[0].argmax(1).numpy() == test.labels).mean() > 0.6


def answers(validated: ClassificationTask, *right: int) -> Callable[[object], torch.Tensor]:
    """Ranked classes with this many right first ones, call after call."""
    labels = torch.from_numpy(validated.val.labels)
    calls = iter(right)

    def ranked(_model: object) -> torch.Tensor:
        first = torch.where(torch.arange(len(labels)) < next(calls), labels, (labels + 1) % 3)
        return torch.stack([first, (first + 1) % 3, (first + 2) % 3], dim=1)

    return ranked


@pytest.mark.parametrize(
    ("patience", "kept_epoch", "accuracy"),
    [
        (4, 3, 16 / 18),  # the later of the two best
        (None, 4, 12 / 18),  # the latest
    ],
)
def test_the_latest_weights_are_kept_or_with_early_stopping_the_best(
    processed: Path, patience: int | None, kept_epoch: int, accuracy: float
) -> None:
    kept = task(processed, early_stopping_epochs=patience)
    kept.ranked_classes = answers(kept, 9, 16, 16, 12)  # type: ignore[method-assign]
    for epoch in range(1, 5):
        torch.nn.init.constant_(kept.model.head.bias, epoch)  # type: ignore[union-attr]
        assert not kept.validate(9 * epoch, kept.model, Silent())  # type: ignore[arg-type]
    assert kept.best["head.bias"].tolist() == [kept_epoch] * 3
    figures = kept.summary()
    assert (figures["val_top1"], figures["best_step"]) == (pytest.approx(accuracy), 9 * kept_epoch)
    right = (kept.best_predicted == torch.from_numpy(kept.val.labels)).float().mean()
    assert right.item() == pytest.approx(accuracy)  # the confusion matrix is that of the weights that are kept


def test_early_stopping_waits_for_its_epochs(processed: Path) -> None:
    stopping = task(processed, early_stopping_epochs=2)
    stopping.ranked_classes = answers(stopping, 9, 10, 10, 10)  # type: ignore[method-assign]
    stops = [stopping.validate(9 * epoch, stopping.model, Silent()) for epoch in range(1, 5)]  # type: ignore[arg-type]
    assert stops == [False, False, False, True]


def test_mixup_mixes_pictures_and_targets_alike(processed: Path) -> None:
    plain, mixed = batch(task(processed), 0), batch(task(processed, mixup=0.4), 0)
    share = (mixed["targets"] * plain["targets"]).sum(1)  # what is left of the own class
    assert torch.allclose(mixed["targets"].sum(1), torch.ones(8))
    assert share.min() < 1
    index = int(share.argmin())
    weight = share[index]
    expected = weight * plain["pixels"][index] + (1 - weight) * neighbours(plain["pixels"])[index]
    torch.testing.assert_close(mixed["pixels"][index], expected)


def test_training_sees_crops_of_their_size_and_validation_and_calibration_whole_images(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = tmp_path / "processed"
    shutil.copytree(processed, large)
    np.save(
        large / "train_48.npy", np.load(processed / f"train_{SIZE}.npy")[:, :1].repeat(48, 1).repeat(2, 2)[:, :, :48]
    )
    seen: list[tuple[bool, int]] = []
    forward = Classifier.forward

    def seeing(self: Classifier, pixels: torch.Tensor) -> Any:
        seen.append((self.training, pixels.shape[2]))
        return forward(self, pixels)

    monkeypatch.setattr(Classifier, "forward", seeing)
    run_classifier(large, tmp_path, epochs=2, source_size=48, crop_size=32)
    assert set(seen) == {(True, 32), (False, SIZE)}
    assert Classifier.from_pretrained(tmp_path / "model").config.image_size == SIZE


def test_cutmix_pastes_a_rectangle_and_weighs_the_targets_by_its_area(processed: Path) -> None:
    plain = batch(task(processed), 0)
    pasted = []
    for step in range(8):
        pixels, targets = cut(plain["pixels"], plain["targets"], np.random.default_rng(step))
        other = neighbours(plain["pixels"])
        theirs = (pixels == other).all(dim=1)
        assert ((pixels == plain["pixels"]).all(dim=1) | theirs).all()
        share = theirs[0].float().mean()
        pasted.append(float(share))
        expected = (1 - share) * plain["targets"] + share * neighbours(plain["targets"])
        torch.testing.assert_close(targets, expected)
    assert max(pasted) > 0.3 > 0.1 > min(pasted)


def test_cutmix_takes_its_share_of_the_batches(processed: Path) -> None:
    plain, half = task(processed), task(processed, cutmix=0.5)
    changed = [not torch.equal(batch(half, step)["pixels"], batch(plain, step)["pixels"]) for step in range(40)]
    assert 10 <= sum(changed) <= 30


def test_crops_have_their_size_and_two_thirds_of_it_at_first(processed: Path) -> None:
    cropped = task(processed, crop_size=24, augmentation="full", small_first=0.5)
    assert batch(cropped, cropped.steps // 2)["pixels"].shape[2:] == (24, 24)
    assert batch(cropped, 0)["pixels"].shape[2:] == (16, 16)


def test_label_smoothing_raises_the_smallest_loss(processed: Path) -> None:
    first = batch(task(processed), 0)
    sure = 100 * first["targets"]

    def loss(smoothing: float) -> float:
        smoothed = task(processed, label_smoothing=smoothing)
        return smoothed.loss(lambda pixels: (sure, None), first).item()  # type: ignore[arg-type]

    assert loss(0.0) == pytest.approx(0, abs=1e-6)
    assert loss(0.1) == pytest.approx(0.1 * 100 * 2 / 3, rel=1e-4)


def test_what_is_saved_is_the_average(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path)
    saved = load_file(tmp_path / "model/model.safetensors")
    state = torch.load(next((tmp_path / "runs").glob("*/checkpoint-*.pt")), weights_only=True)
    different = 0
    for name, tensor in saved.items():
        assert torch.equal(tensor, state["average"]["module"][name])
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
    assert (figures["steps"], figures["images_seen"], figures["n_train"]) == (20, 160, 72)
    assert all(figures[f"val_mse_{steps}"] > 0 for steps in (1, 2, 4))


def test_another_guidance_or_teacher_is_another_student(processed: Path, tmp_path: Path) -> None:
    run_distillation(processed, tmp_path)
    run_distillation(processed, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 1
    run_distillation(processed, tmp_path, GUIDANCE.model_copy(update={"guidance": 3.0}))
    assert len(list((tmp_path / "runs").iterdir())) == 2
    run_generator(processed, tmp_path / "other")
    shutil.copytree(tmp_path / "other/model", tmp_path / "teacher", dirs_exist_ok=True)
    run_distillation(processed, tmp_path)
    assert len(list((tmp_path / "runs").iterdir())) == 3


def test_a_teacher_of_other_classes_is_one_line(processed: Path, tmp_path: Path) -> None:
    config = TinyDiTConfig(classes=["a", "b"], image_size=SIZE, patch_size=8, width=32, depth=1, heads=1)
    TinyDiT(config).save_pretrained(tmp_path / "teacher")
    with pytest.raises(UserError, match="teacher: was not trained on the classes of"):
        run_distillation(processed, tmp_path)
    assert not (tmp_path / "runs").exists()


def test_another_seed_is_another_run(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path)
    run_generator(processed, tmp_path, seed=1)
    run_generator(processed, tmp_path, steps=40)  # resumes the first
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_the_network_that_is_kept_is_calibrated_before_it_is_saved(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinycats.classifier import training as module

    calls: list[tuple[dict[str, torch.Tensor], int, int]] = []

    def noted(model: Classifier, train: Split, val: Split) -> Classifier:
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        calls.append((weights, len(train.labels), len(val.labels)))
        model.config = model.config.model_copy(update={"temperature": 7.0})
        return model

    monkeypatch.setattr(module, "calibrate", noted)
    run_classifier(processed, tmp_path)
    [(weights, n_train, n_val)] = calls
    assert (n_train, n_val) == (72, 18)
    state = torch.load(next((tmp_path / "runs").glob("*/checkpoint-*.pt")), weights_only=True)
    saved = load_file(tmp_path / "model/model.safetensors")
    for name in saved:
        assert torch.equal(weights[name], state["task"]["best"][name]), name
        assert torch.equal(saved[name], weights[name]), name
    assert Classifier.from_pretrained(tmp_path / "model").config.temperature == 7


def test_a_head_without_training_gives_each_class_the_same_and_imagenet_weights_are_in_the_trunk(
    processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinycats.backbones.networks import create_trunk, load_imagenet
    from tinycats.classifier import training as module

    started: list[dict[str, torch.Tensor]] = []

    def noted(task: ClassificationTask, *_: Any) -> None:
        started.append({name: tensor.clone() for name, tensor in task.model.state_dict().items()})

    monkeypatch.setattr(module, "run_task", noted)
    run_classifier(processed, tmp_path, arch="tf_efficientnet_lite0", pretrained=True)
    run_classifier(processed, tmp_path, arch="tf_efficientnet_lite0")
    pretrained, fresh = started
    assert not pretrained["head.weight"].any()
    assert fresh["head.weight"].any()
    trunk = create_trunk("tf_efficientnet_lite0")
    load_imagenet(trunk, "tf_efficientnet_lite0", "")
    for name, tensor in trunk.state_dict().items():
        assert torch.equal(pretrained[f"trunk.{name}"], tensor), name


@pytest.mark.parametrize("prefix", ["head.", "trunk."])
def test_the_heads_learning_rate_is_times_that_of_the_others(processed: Path, prefix: str) -> None:
    training, scales = CLASSIFIER, task(processed, head_lr=5.0).lr_scales
    model = classifier()
    optimizer = adamw(model, training, scales)
    scale_of = {id(p): group["lr_scale"] for group in optimizer.param_groups for p in group["params"]}
    found = {scale_of[id(p)] for name, p in model.named_parameters() if name.startswith(prefix)}
    assert found == {5.0 if prefix == "head." else 1.0}


def test_a_run_can_be_cut_short(processed: Path, tmp_path: Path) -> None:
    run_classifier(processed, tmp_path, max_steps=10)
    metrics = json.loads((tmp_path / "metrics/metrics.json").read_text())
    assert (metrics["step"], metrics["best_step"]) == (10, 10)
    assert metrics["precision"] == "fp32"


def test_mirrored_twins_are_averaged() -> None:
    model = classifier().eval()
    images = torch.randint(0, 256, (2, SIZE, SIZE, 3), dtype=torch.uint8)
    straight, mirrored = model.predict(images)[0], model.predict(images.flip(2))[0]
    model.config = model.config.model_copy(update={"flip_at_test": True})
    torch.testing.assert_close(model.predict(images)[0], (straight + mirrored) / 2)


def test_what_cannot_change_the_result_is_in_no_run_key(processed: Path, tmp_path: Path) -> None:
    run_generator(processed, tmp_path, guard_steps=None)
    run_generator(processed, tmp_path, every_steps=1, sample_every=3, guard_steps=8, checkpoint_every_s=0.0)
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_sample_grids_are_made_in_smaller_parts_where_memory_is_short(
    processed: Path, tmp_path: Path, monkeypatch
) -> None:
    from tinycats.generator import task as module

    sample, sizes = module.sample, []

    def hungry(model: TinyDiT, noise: torch.Tensor, *rest: Any) -> torch.Tensor:
        if len(noise) > 3:
            raise torch.OutOfMemoryError
        sizes.append(len(noise))
        return sample(model, noise, *rest)

    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=CLASSES, **NETWORK.model_dump()))
    arguments = (model, module.GRID_SAMPLER, torch.device("cpu"), torch.float32)
    whole = module.sample_classes(*arguments)
    monkeypatch.setattr(module, "sample", hungry)
    torch.testing.assert_close(module.sample_classes(*arguments), whole)
    assert max(sizes) <= 3


def test_no_group_trains_the_generator_with_full_augmentation() -> None:
    """It is not told of it, and learns worse for it: row augment_full in docs/benchmarks/generator.md."""
    for path in (ROOT / "conf/train").glob("*.yaml"):
        composed = yaml.safe_load(compose(ROOT, [f"train={path.stem}"]))
        assert composed["train"]["augmentation"] == "basic", path


def test_a_training_function_takes_the_sections_that_configure_it() -> None:
    assert list(inspect.signature(train_generator).parameters) == [
        "processed", "output", "metrics", "seed", "mirror", "network", "training", "run",
    ]  # fmt: skip
