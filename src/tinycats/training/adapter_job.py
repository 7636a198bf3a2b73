"""Trains a LoRA adapter of the generator on a few photos of one animal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import nn

from tinycats.data.processed import Split
from tinycats.devices import Precision, resolve_device, resolve_dtype
from tinycats.errors import UserError
from tinycats.models.adapter import add_class, import_peft, inject_adapter, save_adapter
from tinycats.models.pretrained import CONFIG_NAME, WEIGHTS_NAME
from tinycats.models.tinydit import TinyDiT
from tinycats.training.flow_matching import FlowMatchingTask
from tinycats.training.history import History
from tinycats.training.loop import LoopSettings, train
from tinycats.training.run_directory import open_run, run_key

MIN_PHOTOS, MAX_PHOTOS = 5, 30
STEPS = 400
RANK = 8
BATCH_SIZE = 16
LR = 1e-3  # with a cosine down to 0
WARMUP_STEPS = 20
# As the generator itself is trained (conf/train/demo.yaml).
LABEL_DROPOUT = 0.1
T_MEAN, T_STD = -0.8, 0.8


@dataclass(frozen=True)
class AdapterResult:
    """`like`: the class that the animal's started from. Mean squared errors of the picture that is predicted for the photos."""

    like: str
    error_before: float
    error_after: float


class AdapterTask(FlowMatchingTask):
    """Flow matching on photos that are too few to validate on others, and too soon over for pictures on the way.

    Its `validation_errors` are those of the pictures predicted for these same photos.
    """

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        return False


def train_adapter(
    *,
    images: np.ndarray,
    base: Path,
    output: Path,
    runs: Path,
    name: str,
    like: str | None,
    steps: int = STEPS,
    rank: int = RANK,
    seed: int = 0,
    lr: float = LR,
    precision: Precision = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    log_every: int = 25,
    checkpoint_every_s: float = 30.0,
) -> AdapterResult:
    """Teach the generator in `base` a new class `name` from photos, uint8 [N, S, S, 3]; save the adapter as `output`.

    `like` is the class of the base that it starts from; None: the one for which the base predicts these photos best. The
    state goes to a directory below `runs`: killed and started again, it goes on. Raises UserError where base, photos and
    name do not fit.
    """
    settings = {key: value for key, value in locals().items() if key not in _NOT_IN_KEY}
    settings["images"] = hashlib.sha256(images.tobytes()).hexdigest()
    import_peft()
    if len(images) < MIN_PHOTOS:
        raise UserError(
            f"there are {len(images)} photos; an adapter needs at least {MIN_PHOTOS}, better 10 to {MAX_PHOTOS}"
        )
    generator = TinyDiT.from_pretrained(base)
    if generator.config.few_step:
        raise UserError(f"{base}: is a few-step student, which learns from its teacher alone; adapt the teacher")
    size = generator.config.image_size
    if images.shape[1:] != (size, size, 3):
        raise UserError(f"the photos are {list(images.shape[1:])}, the generator makes {[size, size, 3]}")
    target = resolve_device(device)
    like = like or nearest_class(generator.to(target), images, seed, precision, target)
    model = add_class(generator.cpu(), name, like).to(target)
    task = adapter_task(model, images, model.config.num_classes - 1, seed, precision, target)
    before = float(np.mean(task.validation_errors(model)))
    torch.manual_seed(seed)
    inject_adapter(model, rank)
    loop = LoopSettings(
        steps=steps,
        batch_size=BATCH_SIZE,
        accumulation=1,
        lr=lr,
        warmup_steps=WARMUP_STEPS,
        schedule="cosine",
        beta2=0.95,
        weight_decay=0.0,
        clip_norm=1.0,
        ema_decay=None,
        guard_steps=0,  # a trained generator's loss hardly falls, next to its noise
        precision=precision,
        compile=False,
        log_every=log_every,
        checkpoint_every_s=checkpoint_every_s,
        smoke=False,
    )
    run = open_run(runs, task.name, run_key(settings, [base / CONFIG_NAME, base / WEIGHTS_NAME]))
    history = History(run.path / "metrics", run.path / "images")
    trained = train(task, loop, target, run, history)
    assert isinstance(trained, TinyDiT)
    after = float(np.mean(task.validation_errors(trained)))
    save_adapter(trained, base, like, output)
    history.finish({"steps": steps, "error_before": before, "error_after": after})
    return AdapterResult(like, before, after)


def adapter_task(
    model: TinyDiT, images: np.ndarray, label: int, seed: int, precision: Precision, device: torch.device
) -> AdapterTask:
    """Flow matching on photos, uint8 [N, S, S, 3], all of the class `label`."""
    photos = Split(images, np.full(len(images), label), [str(row) for row in range(len(images))])
    return AdapterTask(
        name="adapt",
        model=model,
        train=photos,
        val=photos,
        seed=seed,
        batch_size=BATCH_SIZE,
        steps=0,  # and sample_every: only for what after_step does in the other task
        label_dropout=LABEL_DROPOUT,
        t_mean=T_MEAN,
        t_std=T_STD,
        augmentation="basic",
        mirror=True,
        sample_every=0,
        device=device,
        dtype=resolve_dtype(precision, device),
    )


def nearest_class(model: TinyDiT, images: np.ndarray, seed: int, precision: Precision, device: torch.device) -> str:
    """The class given which the model predicts the photos best (Li et al. 2023, a diffusion model as classifier)."""
    errors = [
        np.mean(adapter_task(model, images, label, seed, precision, device).validation_errors(model))
        for label in range(model.config.num_classes)
    ]
    return model.config.classes[int(np.argmin(errors))]


# What cannot change the result, and what is hashed by its content instead.
_NOT_IN_KEY = {"images", "base", "output", "runs", "device", "log_every", "checkpoint_every_s"}
