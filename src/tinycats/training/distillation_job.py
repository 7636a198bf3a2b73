"""Distilling the generator as a function of paths and numbers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tinycats.data.augment import Level
from tinycats.data.processed import load_classes, load_split
from tinycats.devices import Precision, resolve_device, resolve_dtype
from tinycats.errors import UserError
from tinycats.models.pretrained import CONFIG_NAME, WEIGHTS_NAME
from tinycats.models.sampler import SamplerSettings
from tinycats.models.tinydit import TinyDiT
from tinycats.training.distillation import DistillationTask
from tinycats.training.distributed import is_main
from tinycats.training.loop import SMOKE_STEPS, LoopSettings, Schedule
from tinycats.training.run_task import run_task
from tinycats.training.wandb_sink import WandbSettings


def distill_generator(
    *,
    processed: Path,
    teacher_dir: Path,
    output: Path,
    metrics: Path,
    runs: Path,
    seed: int,
    guidance: float,
    guidance_low: float,
    guidance_high: float,
    steps: int,
    batch_size: int,
    accumulation: int,
    lr: float,
    warmup_steps: int,
    schedule: Schedule,
    clip_norm: float,
    ema_decay: float,
    levels: int,
    teacher_share: float,
    teacher_steps: int,
    augmentation: Level,
    mirror: bool,
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
    """Train a few-step student of the generator in `teacher_dir`; save its averaged (EMA) weights to `output`.

    Curves, sample grids and the errors go to the DVCLive directory `metrics`, the state to a directory below
    `runs`. Raises UserError where the teacher is missing, damaged, of other classes, or a student itself.
    """
    settings = {key: value for key, value in locals().items() if key not in _NOT_IN_KEY}
    if schedule == "constant":
        del settings["steps"]
    target = resolve_device(device)
    teacher = TinyDiT.from_pretrained(teacher_dir)
    if teacher.config.few_step:
        raise UserError(f"{teacher_dir}: is a few-step student; the teacher must be the generator that train_dit made")
    classes, _ = load_classes(processed)
    if teacher.config.classes != classes:
        raise UserError(f"{teacher_dir}: was trained on other classes than those of {processed}; train it again")
    image_size = teacher.config.image_size
    split = load_split(processed, "train", image_size)
    inputs = [processed / name for name in ("index.csv", "classes.json", f"train_{image_size}.npy")]
    inputs += [teacher_dir / name for name in (CONFIG_NAME, WEIGHTS_NAME)]
    student = TinyDiT(teacher.config.model_copy(update={"few_step": True}))
    student.load_state_dict(teacher.state_dict())
    student.gradient_checkpointing = gradient_checkpointing
    task = DistillationTask(
        name="distill",
        model=student,
        teacher=teacher.to(target).requires_grad_(False),
        guidance=SamplerSettings("euler", 1, guidance, guidance_low, guidance_high),
        train=split,
        seed=seed,
        batch_size=batch_size,
        steps=steps,
        levels=levels,
        teacher_share=teacher_share,
        teacher_steps=teacher_steps,
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
        beta2=0.95,
        weight_decay=0,
        clip_norm=clip_norm,
        ema_decay=ema_decay,
        guard_steps=0,  # the targets of the long steps move away while the student learns: its loss need not fall
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
    "processed", "teacher_dir", "output", "metrics", "runs", "smoke", "wandb", "device", "log_every", "checkpoint_every_s",
}  # fmt: skip
