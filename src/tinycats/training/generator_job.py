"""Trains the generator from packed pictures to a model directory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch

from tinycats.data.augment import Level
from tinycats.data.processed import load_classes, load_fit, load_split
from tinycats.devices import Precision, resolve_device, resolve_dtype
from tinycats.models.tinydit import TinyDiT, TinyDiTConfig
from tinycats.training.distributed import is_main
from tinycats.training.flow_matching import FlowMatchingTask
from tinycats.training.loop import SMOKE_STEPS, LoopSettings, Schedule
from tinycats.training.run_task import run_task
from tinycats.training.wandb_sink import WandbSettings


def train_generator(
    *,
    processed: Path,
    output: Path,
    metrics: Path,
    runs: Path,
    seed: int,
    image_size: int,
    patch_size: int,
    width: int,
    depth: int,
    heads: int,
    steps: int,
    batch_size: int,
    accumulation: int,
    lr: float,
    warmup_steps: int,
    schedule: Schedule,
    weight_decay: float,
    clip_norm: float,
    ema_decay: float,
    label_dropout: float,
    t_mean: float,
    t_std: float,
    augmentation: Level,
    mirror: bool,
    guard_steps: int,
    sample_every: int,
    precision: Precision,
    compile: bool,
    gradient_checkpointing: bool,
    smoke: bool,
    wandb: WandbSettings | None,
    device: Literal["auto", "cpu", "cuda"],
    log_every: int,
    checkpoint_every_s: float,
) -> None:
    """Train TinyDiT on the packed pictures in `processed`; save the averaged (EMA) weights to `output`.

    Curves and sample grids go to the DVCLive directory `metrics`, the state to a directory below `runs`. With the constant
    schedule the state is good for any number of steps, so more steps continue an earlier run. Raises UserError where nothing
    is learned. `smoke` runs ten steps in a run directory that is thrown away.
    """
    settings = {key: value for key, value in locals().items() if key not in _NOT_IN_KEY}
    if schedule == "constant":
        del settings["steps"]
    target = resolve_device(device)
    classes, _ = load_classes(processed)
    split, val = (load_split(processed, name, image_size) for name in ("train", "val"))
    inputs = [
        processed / name for name in ("index.csv", "classes.json", f"train_{image_size}.npy", f"val_{image_size}.npy")
    ]
    torch.manual_seed(seed)
    model = TinyDiT(
        TinyDiTConfig(
            classes=classes,
            fit=load_fit(processed),
            image_size=image_size,
            patch_size=patch_size,
            width=width,
            depth=depth,
            heads=heads,
        )
    )
    model.gradient_checkpointing = gradient_checkpointing
    task = FlowMatchingTask(
        name="train_dit",
        model=model,
        train=split,
        val=val,
        seed=seed,
        batch_size=batch_size,
        steps=steps,
        label_dropout=label_dropout,
        t_mean=t_mean,
        t_std=t_std,
        augmentation=augmentation,
        mirror=mirror,
        sample_every=sample_every,
        device=target,
        dtype=resolve_dtype(precision, target),
    )
    loop = LoopSettings(
        steps=SMOKE_STEPS if smoke else steps,
        batch_size=batch_size,
        accumulation=accumulation,
        lr=lr,
        warmup_steps=warmup_steps,
        schedule=schedule,
        beta2=0.95,  # as transformers are trained
        weight_decay=weight_decay,
        clip_norm=clip_norm,
        ema_decay=ema_decay,
        guard_steps=guard_steps,
        precision=precision,
        compile=compile,
        log_every=log_every,
        checkpoint_every_s=checkpoint_every_s,
        smoke=smoke,
    )
    averaged, history = run_task(task, loop, target, settings, inputs, runs, metrics, wandb)
    assert isinstance(averaged, TinyDiT)
    if is_main():
        averaged.save_pretrained(output)
    history.finish({"steps": loop.steps, "pictures_seen": loop.steps * batch_size, "n_train": len(split.labels)})


# What cannot change the result, and what is hashed by its content instead.
_NOT_IN_KEY = {
    "processed", "output", "metrics", "runs", "smoke", "wandb", "device", "log_every", "checkpoint_every_s",
}  # fmt: skip
