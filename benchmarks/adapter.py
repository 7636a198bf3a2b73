"""An adapter for a breed that the generator has never seen: what it learns from a few photos, judged on others of the breed.

    dvc exp run -S data=oxford_pets ...                  (or any other data with classes; its pictures and classifier are read)
    python benchmarks/adapter.py NAME [--data CLONE] [--breed Sphynx] [--base-steps N] [--photos 5 10 20 30]

A generator is trained without the breed and distilled, as the clone's params.yaml says, and both runs are kept in
.tinycats/runs, so that a second call need not. NAME names the data (default, oxford_pets). Writes
benchmarks/results/adapter_NAME.json and docs/adapter-NAME.png.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from machine import ROOT, machine, write_tables
from tinycats.adapters.adapter import load_adapted
from tinycats.adapters.training import RANK, STEPS, adapter_task, adapter_training, train_adapter
from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_classes, load_fit, load_split, write_processed
from tinycats.distillation.training import distill_generator
from tinycats.evaluation.inference import generate, predict
from tinycats.figures.sheets import tile
from tinycats.generator.network import TinyDiT
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.generator.task import VALIDATION_TIMES
from tinycats.generator.training import train_generator
from tinycats.runtime.params import Params, load_params
from tinycats.runtime.run_settings import RunSettings

CPU = torch.device("cpu")
SEED = 0
COLUMNS = 8  # pictures in a row of the figure
SAMPLES = 64  # that the classifier judges


def without(processed: Path, breed: str, size: int, output: Path) -> None:
    """Write the data set of the other classes, train and val, into `output`."""
    classes, other = load_classes(processed)
    rest = [name for name in classes if name != breed]
    kept: list[tuple[str, int, str, int]] = []
    arrays, first = [], 0
    for name in ("train", "val"):
        split = load_split(processed, name, size)
        for row, label in enumerate(split.labels):
            if classes[label] != breed:
                kept.append((split.names[row], rest.index(classes[label]), name, first + row))
        arrays.append(split.images)
        first += len(split.images)
    write_processed(output, {size: np.concatenate(arrays)}, kept, rest, other, load_fit(processed))


def train_base(processed: Path, output: Path, params: Params, steps: int) -> None:
    run = RunSettings(ROOT / ".tinycats/runs", device="cpu", guard_steps=params.monitor.train_dit.guard_steps)
    training = params.train.model_copy(update={"steps": steps})
    train_generator(
        processed, output, output.with_name("metrics"),
        seed=SEED, mirror=params.mirror, network=params.dit, training=training, run=run,
    )  # fmt: skip


def distill_base(processed: Path, base: Path, params: Params) -> Path:
    """The directory of the base's student, beside it."""
    output = base.with_name("student")
    run = RunSettings(ROOT / ".tinycats/runs", device="cpu", guard_steps=params.monitor.distill.guard_steps)
    distill_generator(
        processed, base, output, base.with_name("distillation"),
        seed=SEED, mirror=params.mirror, guidance=teacher_sampler(params.sampler), training=params.distill, run=run,
    )  # fmt: skip
    return output


def errors(model: TinyDiT, images: np.ndarray, label: int) -> list[float]:
    """Mean squared error of the predicted picture at VALIDATION_TIMES, with the same noise for every model."""
    return adapter_task(model, images, label, SEED, adapter_training(STEPS), CPU).validation_errors(model)


def agreement(classifier: Classifier, pictures: np.ndarray, breed: str) -> float:
    """Share of the pictures that the classifier, which knows the breed, takes for it."""
    label = classifier.config.classes.index(breed)
    return float((predict(classifier, pictures, CPU)[0].argmax(axis=1) == label).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--data", type=Path, default=ROOT, help="a clone in which the pipeline has run")
    parser.add_argument("--breed", default="Sphynx")
    parser.add_argument("--base-steps", type=int, help="of the generator (default: as params.yaml says)")
    parser.add_argument("--photos", type=int, nargs="+", default=[5, 10, 20, 30])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--rank", type=int, default=RANK)
    parser.add_argument("--note", default="", help="a sentence for the table: what the pictures look like, for example")
    arguments = parser.parse_args()
    before, params = machine(), load_params(arguments.data / "params.yaml")
    base_steps = arguments.base_steps or params.train.steps
    processed, size = arguments.data / "data/processed" / params.dit.view, params.dit.image_size
    classes, _ = load_classes(processed)
    classifier = Classifier.from_pretrained(arguments.data / "models/classifier")
    sampler, few_steps = teacher_sampler(params.sampler), student_sampler(params.sampler.student_steps)
    train, test = (load_split(processed, name, size) for name in ("train", "test"))
    label = classes.index(arguments.breed)
    order = np.random.default_rng(SEED).permutation(np.flatnonzero(train.labels == label))
    held_out = np.array(test.images[test.labels == label])
    rows: list[list[object]] = []

    def add(name: str, model: TinyDiT, of: int, took_s: float | None) -> np.ndarray:
        few = model.config.few_step
        pictures = generate(model, [of] * SAMPLES, few_steps if few else sampler, SEED, CPU)
        figures = [""] * len(VALIDATION_TIMES) if few else [f"{error:.4f}" for error in errors(model, held_out, of)]
        time_taken = "" if took_s is None else f"{took_s:.0f}"
        rows.append([name, *figures, f"{agreement(classifier, pictures, arguments.breed):.0%}", time_taken])
        print(*rows[-1], flush=True)
        return pictures[:COLUMNS]

    with tempfile.TemporaryDirectory() as scratch:
        rest, base = Path(scratch, "processed"), Path(scratch, "generator")
        rest.mkdir()
        without(processed, arguments.breed, size, rest)
        train_base(rest, base, params, base_steps)
        student = distill_base(rest, base, params)
        generator = TinyDiT.from_pretrained(base)
        add("the base, no class", generator, generator.config.num_classes, None)
        picture: list[np.ndarray] = []
        for count in arguments.photos:
            photos = np.array(train.images[order[:count]])
            started = time.perf_counter()
            result = train_adapter(
                images=photos, base=base, output=Path(scratch, f"adapter_{count}"), name="new", like=None, rank=arguments.rank,
                training=adapter_training(arguments.steps), seed=SEED, run=RunSettings(Path(scratch, "runs"), device="cpu"),
            )  # fmt: skip
            took_s = time.perf_counter() - started
            if not picture:
                of = generator.config.classes.index(result.like)
                picture = [held_out[:COLUMNS], add(f"the base, as {result.like}", generator, of, None)]
                picture.append(add(f"its student, as {result.like}", TinyDiT.from_pretrained(student), of, None))
            for model, name in ((base, "adapted"), (student, "its student, adapted")):
                adapted = load_adapted(model, Path(scratch, f"adapter_{count}"))
                took = took_s if model == base else None
                picture.append(add(f"{name} to {count} photos", adapted, adapted.config.num_classes - 1, took))
    real = agreement(classifier, held_out, arguments.breed)
    rows.append([f"the {len(held_out)} held-out photos themselves", *[""] * len(VALIDATION_TIMES), f"{real:.0%}", ""])
    shown = f"adapter-{arguments.name}.png"
    tile(np.concatenate(picture), COLUMNS).save(ROOT / "docs" / shown)
    heads = [f"error at t={time}" for time in VALIDATION_TIMES]
    agrees = f"taken for {arguments.breed} by the classifier"
    write_tables(
        f"adapter_{arguments.name}",
        before,
        f"A generator of {len(classes) - 1} classes that never saw {arguments.breed} ({base_steps} steps), adapted "
        f"with rank {arguments.rank} in {arguments.steps} steps. Errors: mean squared, of the picture predicted for "
        f"{len(held_out)} photos of the breed that took no part, in [-1, 1], fixed noise. The last columns: {SAMPLES} "
        "generated pictures as a classifier that knows the breed sees them, and the seconds that adapting takes. "
        "Picture: held-out photos, then generator and student, plain and with each adapter, from the same noise. "
        f"{arguments.note}".strip(),
        [{"head": ["generator", *heads, agrees, "seconds"], "rows": rows}],
        command=f"adapter.py {arguments.name}",
        picture=shown,
    )


if __name__ == "__main__":
    main()
