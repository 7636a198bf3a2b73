"""Trains a LoRA adapter of the generator on a few photos of one animal."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from tinycats.adapters.adapter import add_class, import_peft, inject_adapter, save_adapter
from tinycats.adapters.defaults import MAX_PHOTOS, MIN_PHOTOS, RANK, STEPS
from tinycats.data.processed import Split
from tinycats.generator.network import TinyDiT
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning.loop import train
from tinycats.learning.precision import resolve_dtype
from tinycats.learning.pretrained import CONFIG_NAME, WEIGHTS_NAME
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError
from tinycats.runtime.history import History
from tinycats.runtime.params import TrainParams
from tinycats.runtime.run_directory import open_run, run_key
from tinycats.runtime.run_settings import RunSettings


def adapter_training(steps: int = STEPS) -> TrainParams:
    """A short training run with a cosine schedule, else like the generator's own (conf/train/demo.yaml)."""
    return TrainParams(
        steps=steps, batch_size=16, accumulation=1, lr=1e-3, warmup_steps=20, schedule="cosine", beta1=0.9, beta2=0.95,
        weight_decay=0.0, clip_norm=1.0, ema_decay=None, augmentation="basic", precision="auto", compile=False,
        gradient_checkpointing=False, label_dropout=0.1, t_mean=-0.8, t_std=0.8,
    )  # fmt: skip


@dataclass(frozen=True)
class AdapterResult:
    """`like`: the class that the new one started from. Mean squared errors of the images predicted for the photos."""

    like: str
    error_before: float
    error_after: float


class AdapterTask(FlowMatchingTask):
    """Flow matching on photos that are too few to keep some for validation, in a run too short for samples on the way.

    Its `validation_errors` are those of the images predicted for these same photos.
    """

    def validates(self, done: int) -> bool:
        return False


def train_adapter(
    *,
    images: np.ndarray,
    base: Path,
    output: Path,
    name: str,
    like: str | None,
    training: TrainParams,
    rank: int = RANK,
    seed: int,
    run: RunSettings,
) -> AdapterResult:
    """Teach the generator in `base` a new class `name` from photos, uint8 [N, S, S, 3]; save the adapter as `output`.

    `like` is the class of the base that it starts from; None: the one for which the base predicts these photos best.
    Checkpoints go to a directory below run.runs: started again after it was killed, it resumes. Raises UserError if base,
    photos and name do not fit.
    """
    import_peft()
    if len(images) < MIN_PHOTOS:
        raise UserError(
            f"{len(images)} photos are too few; an adapter needs at least {MIN_PHOTOS}, better 10 to {MAX_PHOTOS}"
        )
    generator = TinyDiT.from_pretrained(base)
    if generator.config.few_step:
        raise UserError(f"{base}: is a student, which can only learn from its teacher; adapt the teacher")
    size = generator.config.image_size
    if images.shape[1:] != (size, size, 3):
        raise UserError(f"the photos are {list(images.shape[1:])}, the generator makes {[size, size, 3]}")
    device = resolve_device(run.device)
    asked = {"name": name, "like": like, "rank": rank, "seed": seed}
    like = like or nearest_class(generator.to(device), images, seed, training, device)
    model = add_class(generator.cpu(), name, like).to(device)
    task = adapter_task(model, images, model.config.num_classes - 1, seed, training, device)
    before = float(np.mean(task.validation_errors(model)))
    torch.manual_seed(seed)
    inject_adapter(model, rank)
    determines = {**asked, "images": hashlib.sha256(images.tobytes()).hexdigest(), "training": training.model_dump()}
    directory = open_run(run.runs, task.name, run_key(determines, [base / CONFIG_NAME, base / WEIGHTS_NAME]))
    history = History(directory.path / "metrics", directory.path / "images")
    trained = train(task, training, run, device, directory, history)
    assert isinstance(trained, TinyDiT)
    after = float(np.mean(task.validation_errors(trained)))
    save_adapter(trained, base, like, output)
    history.finish({"steps": training.steps, "error_before": before, "error_after": after})
    return AdapterResult(like, before, after)


def adapter_task(
    model: TinyDiT, images: np.ndarray, label: int, seed: int, training: TrainParams, device: torch.device
) -> AdapterTask:
    """Flow matching on photos, uint8 [N, S, S, 3], all of the class `label`."""
    photos = Split(images, np.full(len(images), label), [str(row) for row in range(len(images))])
    dtype = resolve_dtype(training.precision, device)
    return AdapterTask(
        name="adapt",
        model=model,
        train=photos,
        val=photos,
        seed=seed,
        mirror=True,
        training=training,
        sample_every=None,
        device=device,
        dtype=dtype,
    )


def nearest_class(model: TinyDiT, images: np.ndarray, seed: int, training: TrainParams, device: torch.device) -> str:
    """The class with which the model predicts the photos best (Li et al. 2023, a diffusion model as classifier)."""
    errors = [
        np.mean(adapter_task(model, images, label, seed, training, device).validation_errors(model))
        for label in range(model.config.num_classes)
    ]
    return model.config.classes[int(np.argmin(errors))]
