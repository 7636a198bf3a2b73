"""Trains the generator from packed images to a model directory."""

from __future__ import annotations

from pathlib import Path

import torch

from tinycats.data.processed import load_classes, load_fit, load_split
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning.precision import resolve_dtype
from tinycats.learning.run_task import run_task
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.params import DitParams, TrainParams
from tinycats.runtime.run_settings import RunSettings


def train_generator(
    processed: Path,
    output: Path,
    metrics: Path,
    *,
    seed: int,
    mirror: bool,
    network: DitParams,
    training: TrainParams,
    run: RunSettings,
) -> None:
    """Train TinyDiT on the packed images in `processed`; save the averaged (EMA) weights to `output`.

    Curves and sample grids go to the DVCLive directory `metrics`, checkpoints to a directory below run.runs. Raises UserError
    where nothing is learned.
    """
    device, size = resolve_device(run.device), network.image_size
    classes, _ = load_classes(processed)
    split, val = (load_split(processed, name, size) for name in ("train", "val"))
    torch.manual_seed(seed)
    model = TinyDiT(TinyDiTConfig(classes=classes, fit=load_fit(processed), **network.model_dump()))
    model.gradient_checkpointing = training.gradient_checkpointing
    dtype = resolve_dtype(training.precision, device)
    task = FlowMatchingTask(
        name="train_dit",
        model=model,
        train=split,
        val=val,
        seed=seed,
        mirror=mirror,
        training=training,
        sample_every=run.sample_every,
        device=device,
        dtype=dtype,
    )
    inputs = [processed / name for name in ("index.csv", "classes.json", f"train_{size}.npy", f"val_{size}.npy")]
    determines = {"seed": seed, "mirror": mirror, "network": network.model_dump()}
    run_task(task, training, run, device, determines, inputs, output, metrics)
