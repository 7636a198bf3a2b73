"""Trains a classification network from packed pictures to a model directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tinycats.data.augment import Level
from tinycats.data.processed import Split, load_split
from tinycats.devices import Precision, resolve_device, resolve_dtype
from tinycats.models.pretrained import ModelConfig, PretrainedModel
from tinycats.training.classification import ClassificationTask
from tinycats.training.distributed import is_main
from tinycats.training.loop import SMOKE_STEPS, LoopSettings
from tinycats.training.run_task import run_task
from tinycats.training.wandb_sink import WandbSettings


def train_classification(
    *,
    name: str,
    network: Callable[[Any], PretrainedModel],
    config: ModelConfig,
    image_size: int,
    source_size: int | None = None,
    crop_size: int | None = None,
    small_first: float = 0.0,
    processed: Path,
    output: Path,
    metrics: Path,
    runs: Path,
    seed: int,
    epochs: int,
    batch_size: int,
    accumulation: int,
    lr: float,
    weight_decay: float,
    warmup_fraction: float,
    clip_norm: float,
    label_smoothing: float,
    augmentation: Level,
    mirror: bool,
    min_crop: float,
    mixup: float,
    cutmix: float,
    early_stopping_epochs: int | None,
    precision: Precision,
    compile: bool,
    smoke: bool,
    wandb: WandbSettings | None,
    device: Literal["auto", "cpu", "cuda"],
    log_every: int,
    checkpoint_every_s: float,
    calibrate: Callable[[Any, Split], None] | None = None,
) -> None:
    """Train `network(config)` on the packed pictures in `processed`; save the weights that validated best to `output`.

    `calibrate` is called with those weights' network and the validation split, and may change the network's config.
    Random crops of `crop_size` pixels are cut from pictures of `source_size` pixels, both by default `image_size`; validation
    sees the middle of its pictures.
    Curves go to the DVCLive directory `metrics`, the state to a directory below `runs`. Raises UserError where nothing is
    learned. `smoke` runs ten steps in a run directory that is thrown away.
    """
    settings = {key: value for key, value in locals().items() if key not in _NOT_IN_KEY}
    settings |= {"network": network.__qualname__, "config": config.model_dump_json()}
    torch.manual_seed(seed)
    model = network(config)
    target = resolve_device(device)
    train_size = source_size or image_size
    train_split, val_split = load_split(processed, "train", train_size), load_split(processed, "val", image_size)
    steps_per_epoch = max(len(train_split.labels) // batch_size, 1)
    steps = SMOKE_STEPS if smoke else epochs * steps_per_epoch
    inputs = [processed / name for name in ("index.csv", f"train_{train_size}.npy", f"val_{image_size}.npy")]
    task = ClassificationTask(
        name=name,
        model=model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        train=train_split,
        val=Split(_middle(val_split.images, crop_size or image_size), val_split.labels, val_split.names),
        classes=model.config.classes,
        seed=seed,
        batch_size=batch_size,
        steps_per_epoch=steps_per_epoch,
        steps=steps,
        augmentation=augmentation,
        mirror=mirror,
        min_crop=min_crop,
        mixup=mixup,
        cutmix=cutmix,
        small_first=small_first,
        label_smoothing=label_smoothing,
        patience=early_stopping_epochs,
        device=target,
        dtype=resolve_dtype(precision, target),
    )
    loop = LoopSettings(
        steps=steps,
        batch_size=batch_size,
        accumulation=accumulation,
        lr=lr,
        warmup_steps=round(warmup_fraction * steps),
        schedule="cosine",
        beta2=0.999,
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_decay=None,
        guard_steps=min(2 * steps_per_epoch, steps),
        precision=precision,
        compile=compile,
        log_every=log_every,
        checkpoint_every_s=checkpoint_every_s,
        smoke=smoke,
    )
    _, history = run_task(task, loop, target, settings, inputs, runs, metrics, wandb)
    summary: dict[str, float] = {"n_train": len(train_split.labels), "n_val": len(val_split.labels)}
    if not smoke:
        model.load_state_dict(task.best)
        summary |= {"best_val_top1": task.best_accuracy, "best_step": task.best_step}
    if is_main():
        if calibrate is not None and not smoke:
            calibrate(model, val_split)
        model.save_pretrained(output)
    history.finish(summary)


def _middle(images: np.ndarray, size: int) -> np.ndarray:
    """The middle [N, size, size, 3] of images [N, S, S, 3], as Classifier crops it."""
    start = round((images.shape[1] - size) / 2)
    return images[:, start : start + size, start : start + size]


# What cannot change the result, and what is hashed by its content instead.
_NOT_IN_KEY = {
    "network", "config", "processed", "output", "metrics", "runs", "smoke", "wandb", "device", "log_every", "checkpoint_every_s",
    "calibrate",
}  # fmt: skip
