"""The training functions at their smallest, for the tests of several modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.conftest import SIZE
from tinycats.classifier.training import train_classifier
from tinycats.distillation.training import distill_generator
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.training import train_generator
from tinycats.runtime.params import (
    AdversaryParams,
    ClassifierParams,
    DistillParams,
    DitParams,
    SamplerSettings,
    TrainParams,
)
from tinycats.runtime.run_settings import RunSettings

CLASSES = ["red", "green", "blue"]
NETWORK = DitParams(view="photo", image_size=SIZE, patch_size=8, width=32, depth=1, heads=1)
GUIDANCE = SamplerSettings(method="euler", steps=1, guidance=2.0, guidance_low=0.1, guidance_high=0.9)
LOOP = {
    "batch_size": 8, "accumulation": 1, "lr": 0.002, "beta1": 0.9, "beta2": 0.95, "weight_decay": 0.0, "clip_norm": 1.0,
    "schedule": "cosine", "ema_decay": None, "augmentation": "none", "precision": "fp32", "compile": False,
}  # fmt: skip
CLASSIFIER = ClassifierParams(**{
    **LOOP, "lr": 0.01, "beta2": 0.999, "augmentation": "full", "arch": "test_efficientnet", "pretrained": False,
    "image_size": SIZE, "source_size": None, "crop_size": None, "epochs": 4, "max_steps": None, "warmup_fraction": 0.1,
    "head_lr": 1.0, "label_smoothing": 0.0, "min_crop": 0.45, "small_share": 0.0, "mixup": 0.0, "cutmix": 0.0,
    "small_first": 0.0,
    "flip_at_test": True, "early_stopping_epochs": None,
})  # fmt: skip
TRAIN = TrainParams(**{
    **LOOP, "ema_decay": 0.9, "schedule": "constant", "steps": 30, "warmup_steps": 5, "gradient_checkpointing": False,
    "label_dropout": 0.1, "t_mean": -0.8, "t_std": 0.8,
})  # fmt: skip
DISTILL = DistillParams(**{
    **LOOP, "ema_decay": 0.9, "lr": 0.001, "steps": 20, "warmup_steps": 2, "gradient_checkpointing": False,
    "objective": "consistency", "levels": 2, "teacher_share": 0.5, "teacher_steps": 1, "adversary": None,
})  # fmt: skip

ADVERSARY = AdversaryParams(
    network="tf_efficientnet_lite0", feature_size=32, channels=8, head_lr=1.0,
    augmentation=["colour", "translation", "cutout"], start_share=0.5, own_share=0.5, class_weight=0.1,
    reconstruction_weight=3.0, consistency_weight=0.0,
)  # fmt: skip


def split(section: Any, changes: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The section with those of the changes that are its own, and the others."""
    own = {key: value for key, value in changes.items() if key in type(section).model_fields}
    return section.model_copy(update=own), {key: value for key, value in changes.items() if key not in own}


def run_settings(path: Path, **changes: Any) -> RunSettings:
    return RunSettings(**{
        "runs": path / "runs", "device": "cpu", "every_steps": 5, "checkpoint_every_s": 1e9, "sample_every": 20, **changes,
    })  # fmt: skip


def run_classifier(processed: Path, path: Path, **changes: Any) -> None:
    training, others = split(CLASSIFIER, changes)
    train_classifier(
        processed, path / "model", path / "metrics", seed=0, mirror=True, training=training,
        run=run_settings(path, **others),
    )  # fmt: skip


def generator_arguments(processed: Path, path: Path, **changes: Any) -> dict[str, Any]:
    training, others = split(TRAIN, changes)
    seed = others.pop("seed", 0)
    return {
        "processed": processed, "output": path / "model", "metrics": path / "metrics", "seed": seed, "mirror": True,
        "network": NETWORK, "training": training, "run": run_settings(path, **others),
    }  # fmt: skip


def run_generator(processed: Path, path: Path, **changes: Any) -> None:
    train_generator(**generator_arguments(processed, path, **changes))


def run_distillation(processed: Path, path: Path, guidance: SamplerSettings = GUIDANCE, **changes: Any) -> None:
    """Of a teacher in path/teacher, made where there is none."""
    teacher = path / "teacher"
    if not teacher.exists():
        torch.manual_seed(0)
        model = TinyDiT(TinyDiTConfig(classes=CLASSES, **NETWORK.model_dump()))
        for linear in (model.final, model.final_modulation):
            torch.nn.init.normal_(linear.weight, std=0.1)
        model.save_pretrained(teacher)
    training, others = split(DISTILL, changes)
    distill_generator(
        processed, teacher, path / "model", path / "metrics", seed=0, mirror=True, guidance=guidance, training=training,
        run=run_settings(path, **{"sample_every": 10, **others}),
    )  # fmt: skip
