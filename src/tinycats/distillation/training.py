"""Distils the generator: from a model directory to that of its student."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinycats.data.processed import load_classes, load_split
from tinycats.distillation.consistency import ConsistencyTask
from tinycats.distillation.task import StudentTask
from tinycats.generator.network import TinyDiT
from tinycats.learning.precision import resolve_dtype
from tinycats.learning.pretrained import CONFIG_NAME, WEIGHTS_NAME
from tinycats.learning.run_task import run_task
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import DistillParams, SamplerSettings
from tinycats.runtime.run_settings import RunSettings


def distill_generator(
    processed: Path,
    teacher: Path,
    output: Path,
    metrics: Path,
    *,
    seed: int,
    mirror: bool,
    guidance: SamplerSettings,
    training: DistillParams,
    run: RunSettings,
) -> None:
    """Train a student of the generator in `teacher`, guided as `guidance` says; save its averaged (EMA) weights to `output`.

    Curves, sample grids and the errors go to the DVCLive directory `metrics`, checkpoints to a directory below run.runs.
    Raises UserError where the teacher is missing, damaged, of other classes, or a student itself.
    """
    device = resolve_device(run.device)
    network = TinyDiT.from_pretrained(teacher)
    if network.config.few_step:
        raise UserError(f"{teacher}: is a student; the teacher must be the generator that train_dit made")
    classes, _ = load_classes(processed)
    if network.config.classes != classes:
        raise UserError(f"{teacher}: was not trained on the classes of {processed}; train it again")
    size = network.config.image_size
    split = load_split(processed, "train", size)
    student = TinyDiT(network.config.model_copy(update={"few_step": True}))
    student.load_state_dict(network.state_dict())
    student.gradient_checkpointing = training.gradient_checkpointing
    common: dict[str, Any] = {
        "name": "distill",
        "teacher": network.to(device).requires_grad_(False),
        "guidance": guidance,
        "train": split,
        "seed": seed,
        "mirror": mirror,
        "training": training,
        "sample_every": run.sample_every,
        "device": device,
        "dtype": resolve_dtype(training.precision, device),
    }
    determines = {"seed": seed, "mirror": mirror, "guidance": guidance.model_dump(exclude={"steps", "method"})}
    task: StudentTask
    if training.objective == "adversarial":
        from tinycats.distillation.adversarial import adversarial_task  # timm loads slowly

        task = adversarial_task(student, **common)
    else:
        task = ConsistencyTask(model=student, **common)
    inputs = [processed / name for name in ("index.csv", "classes.json", f"train_{size}.npy")]
    inputs += [teacher / name for name in (CONFIG_NAME, WEIGHTS_NAME)]
    run_task(task, training, run, device, determines, inputs, output, metrics, finish=task.student)
