"""What makes the generator better on few real photos: one change at a time, judged on photos that it was not trained on.

    dvc exp run -S data=oxford_pets ... train_classifier      (data/processed and models/classifier are read)
    python benchmarks/generator_recipe.py --variants base rope... --seeds 0 1   (all, where none is named)

A quarter of the training faces and the val split are held out; the test split takes no part. What is finished is kept below
--scratch and is not run again. Writes benchmarks/results/generator_recipe.json and docs/generator_recipe.png.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from generator_variants import (
    ALIGNMENT_WEIGHT,
    DISPERSIVE_WEIGHT,
    VARIANTS,
    Alignment,
    ToldTask,
    Variant,
    build,
    dispersive_loss,
    optimizers,
)
from machine import ROOT, machine, write_result
from tinycats.backbones.features import FrozenFeatures, feature_name, features_of
from tinycats.classifier.network import Classifier
from tinycats.data.processed import Split, load_classes, load_split
from tinycats.data.randomness import derive_seed
from tinycats.evaluation.copying import Nearest, copying_metrics, nearest
from tinycats.evaluation.distribution import frechet_distance, inside_manifold, kernel_distance
from tinycats.evaluation.inference import generate, predict
from tinycats.figures.sheets import class_grid, save_png
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.task import GRID_SAMPLER, VALIDATION_TIMES, FlowMatchingTask
from tinycats.learning.interface import Batch
from tinycats.learning.loop import learning_rate
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import atomic_path, write_json
from tinycats.runtime.memory import keep_freed_memory
from tinycats.runtime.params import Params, TrainParams
from training import composed

CPU = torch.device("cpu")
OTHER_EMA = 0.98  # looked at besides the default
GENERATED, SAMPLING_SEED = 260, 0
SAVE_EVERY = 100
ON_SHEET = 8  # pictures of a row, each of another class


@dataclass(frozen=True)
class Judge:
    """What generated pictures are compared with. Features are those of a frozen ImageNet network."""

    train: Split
    held_out: Split
    classes: list[str]
    frozen: FrozenFeatures
    classifier: Classifier
    train_features: np.ndarray
    real_features: np.ndarray
    real_by_features: Nearest  # the photos held out, to those trained on
    real_by_pixels: Nearest
    labels: np.ndarray  # of the pictures to generate, in the proportions of those held out


@cache
def pets() -> Params:
    """The parameters of faces of cats."""
    return composed("data=oxford_pets")


def ema_decays() -> tuple[float, float]:
    """The default and another."""
    default = pets().train.ema_decay
    assert default is not None
    return default, OTHER_EMA


def hold_out(processed: Path) -> tuple[Split, Split]:
    """Three quarters of the train split; the last quarter and the val split."""
    size = pets().dit.image_size
    train, val = load_split(processed, "train", size), load_split(processed, "val", size)
    order = np.random.default_rng(0).permutation(len(train.labels))
    last, first = np.sort(order[: len(order) // 4]), np.sort(order[len(order) // 4 :])
    kept = Split(train.images[first], train.labels[first], [train.names[row] for row in first])
    held_out = Split(
        np.concatenate([train.images[last], val.images]),
        np.concatenate([train.labels[last], val.labels]),
        [*(train.names[row] for row in last), *val.names],
    )
    return kept, held_out


def open_judge(processed: Path, classifier: Path) -> Judge:
    classes, _ = load_classes(processed)
    train, held_out = hold_out(processed)
    frozen = FrozenFeatures(pets().evaluate.features, "")
    train_features, real_features = (features_of(frozen, split.images) for split in (train, held_out))
    rows = np.linspace(0, len(held_out.labels) - 1, GENERATED).round().astype(int)
    return Judge(
        train=train,
        held_out=held_out,
        classes=classes,
        frozen=frozen,
        classifier=Classifier.from_pretrained(classifier),
        train_features=train_features,
        real_features=real_features,
        real_by_features=nearest(real_features, train_features),
        real_by_pixels=nearest(held_out.images, train.images),
        labels=np.sort(held_out.labels)[rows],
    )


def distances(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    neighbours = pets().evaluate.neighbours
    return {
        "fd": frechet_distance(real, generated),
        "kd": kernel_distance(real, generated),
        "precision": float(inside_manifold(generated, real, neighbours).mean()),
        "recall": float(inside_manifold(real, generated, neighbours).mean()),
    }


def scores(judge: Judge, pictures: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Figures of uint8 pictures (N, S, S, 3) that ought to show the classes `labels`."""
    features = features_of(judge.frozen, pictures)
    predicted, names = (
        predict(judge.classifier, pictures, CPU)[0].argmax(axis=1),
        np.array(judge.classifier.config.classes),
    )
    by_features = copying_metrics(nearest(features, judge.train_features), judge.real_by_features, 50, 0)
    by_pixels = copying_metrics(nearest(pictures, judge.train.images), judge.real_by_pixels, 50, 0)
    return {
        **distances(judge.real_features, features),
        "agreement": float((names[predicted] == np.array(judge.classes)[labels]).mean()),
        "copying_features": by_features["median_ratio"],
        "copying_pixels": by_pixels["median_ratio"],
        "closer_than_p1": by_features["closer_than_p1_of_test"],
    }


def references(judge: Judge) -> dict[str, Any]:
    """The distances of as many training photos as are generated."""
    order = np.random.default_rng(0).permutation(len(judge.train.labels))[: len(judge.labels)]
    return {
        "n_train": len(judge.train.labels),
        "n_held_out": len(judge.held_out.labels),
        "floor": distances(judge.real_features, judge.train_features[order]),
    }


def make_task(variant: Variant, judge: Judge, seed: int, steps: int) -> FlowMatchingTask:
    params = pets()
    training = params.train.model_copy(update={"steps": steps, **variant.of(TrainParams)})
    torch.manual_seed(seed)
    model = build(variant, TinyDiTConfig(classes=judge.classes, **params.dit.model_dump()))
    dtype = resolve_dtype(training.precision, CPU)
    kind = ToldTask if variant.told else FlowMatchingTask
    return kind(
        name="generator", model=model, train=judge.train, val=judge.held_out, seed=seed, mirror=params.mirror,
        training=training, sample_every=None, device=CPU, dtype=dtype,
    )  # fmt: skip


@dataclass
class Training:
    """A variant in training: resumes from the checkpoint in `path`, where there is one."""

    variant: Variant
    task: FlowMatchingTask
    path: Path
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        model = self.task.model
        self.averages = [AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) for decay in ema_decays()]
        self.features: list[Tensor] = []
        self.alignment = Alignment(model.config) if self.variant.repa else None
        if self.variant.dispersive or self.alignment:  # after the copies, which need no hook; at a third of the depth
            block = model.blocks[len(model.blocks) // 3 - 1]
            block.register_forward_hook(lambda *call: self.features.append(call[2]))
        trained = model if self.alignment is None else nn.ModuleList([model, self.alignment.projector])
        self.optimizers = optimizers(self.variant, trained, self.task.training)
        self.rates = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.step, self.seconds, self.cpu_seconds = state["step"], state["seconds"], state["cpu_seconds"]
            for part, content in zip(self.parts(), state["parts"], strict=True):
                part.load_state_dict(content)

    def parts(self) -> list[Any]:
        projectors = [] if self.alignment is None else [self.alignment.projector]
        return [self.task.model, *projectors, *self.averages, *self.optimizers]

    def save(self) -> None:
        content = {"step": self.step, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        with atomic_path(self.path) as temporary:
            torch.save({**content, "parts": [part.state_dict() for part in self.parts()]}, temporary)

    def run(self, steps: int) -> None:
        """Train up to `steps`, which may be fewer than the task's."""
        self.task.model.train()
        batches = self.task.batches(self.step, range(self.task.training.batch_size))
        while self.step < steps:
            start, cpu = time.perf_counter(), time.process_time()
            self.one_step(next(batches))
            self.seconds += time.perf_counter() - start
            self.cpu_seconds += time.process_time() - cpu
            if self.step % SAVE_EVERY == 0 or self.step == steps:
                self.save()

    def one_step(self, batch: Batch) -> None:
        task, model = self.task, self.task.model
        torch.manual_seed(derive_seed(task.seed, "dropout", self.step))
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = learning_rate(self.step, rate, task.warmup_steps, task.steps, task.training.schedule)
        with autocast(CPU, task.dtype):
            loss = task.loss(model, batch)
            if self.alignment is not None:
                loss = loss + ALIGNMENT_WEIGHT * self.alignment(self.features.pop(), batch["x"])
        if self.variant.dispersive:
            loss = loss + DISPERSIVE_WEIGHT * dispersive_loss(self.features.pop())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), task.training.clip_norm, error_if_nonfinite=True)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        for average in self.averages:
            average.update_parameters(model)
        self.step += 1


def run(variant: Variant, judge: Judge, seed: int, steps: int, state: Path, samples: Path) -> dict[str, Any]:
    """Train and judge one variant; keeps the pictures of the default average in `samples`."""
    task = make_task(variant, judge, seed, steps)
    training = Training(variant, task, state)
    training.run(steps)
    task.seed = 0  # every variant and seed is validated on the same noise
    judged: dict[str, dict[str, Any]] = {}
    default, _ = ema_decays()
    for decay, average in zip(ema_decays(), training.averages, strict=True):
        model = cast(TinyDiT, average.module).eval()
        judged[str(decay)] = {"x_error": task.validation_errors(model)}
        if decay == default or not variant.changes():  # making pictures takes long
            pictures = generate(model, judge.labels, GRID_SAMPLER, SAMPLING_SEED, CPU)
            judged[str(decay)] |= scores(judge, pictures, judge.labels)
        if decay == default:
            np.save(samples, pictures)
    return {
        "seed": seed,
        "steps": steps,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "seconds": training.seconds,
        "cpu_seconds": training.cpu_seconds,
        "variant": variant.changes(),
        "ema": judged,
    }


def errors(figures: dict[str, Any]) -> str:
    return " ".join(f"{error:.3f}".removeprefix("0") for error in figures["x_error"])


def cells(figures: dict[str, Any]) -> list[str]:
    """What the tables show of one model's figures."""
    return [
        f"{figures['fd']:.2f}", f"{figures['kd']:.4f}", f"{figures['precision']:.2f}", f"{figures['recall']:.2f}",
        f"{figures['agreement']:.0%}",
        f"{figures['copying_features']:.2f}", f"{figures['copying_pixels']:.2f}", errors(figures),
    ]  # fmt: skip


HEAD = [
    "FD", "KD", "precision", "recall", "agreement", "copying: features", "pixels",
    f"x-error at t={'/'.join(map(str, VALIDATION_TIMES))}",
]  # fmt: skip


def table(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    for found in runs:
        differs = [f"{key} {value}" for key, value in found["variant"].items()]
        cost = found["cpu_seconds"] / found["steps"] * 1000
        front = [
            found["name"],
            ", ".join(differs) or "-",
            found["seed"],
            f"{found['parameters'] / 1e6:.2f}",
            f"{cost:.0f}",
        ]
        default, other = (found["ema"][str(decay)] for decay in ema_decays())
        rows.append([*front, *cells(default), errors(other)])
    head = ["variant", "differs in", "seed", "M parameters", "CPU ms a step", *HEAD, f"the same with EMA {OTHER_EMA}"]
    return {"head": head, "rows": rows}


def ema_table(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    judged = [(found, decay) for found in runs if found["name"] == "base" for decay in found["ema"]]
    rows = [[found["name"], found["seed"], decay, *cells(found["ema"][decay])] for found, decay in judged]
    return {"head": ["variant", "seed", "EMA", *HEAD], "rows": rows}


def sheet(judge_labels: np.ndarray, classes: Sequence[str], pictures: dict[str, np.ndarray], path: Path) -> None:
    """One row a variant, the same noise and classes in all rows."""
    chosen = [int(np.argmax(judge_labels == label)) for label in range(len(classes))][:ON_SHEET]
    stacked = np.concatenate([images[chosen] for images in pictures.values()])
    save_png(class_grid(stacked, list(pictures)).quantize(256), path)


def report(runs: Sequence[dict[str, Any]], known: dict[str, Any], before: dict[str, Any], note: str) -> None:
    params, steps, floor = pets(), runs[0]["steps"], known["floor"]
    seen = steps * params.train.batch_size
    notes = (
        f"data=oxford_pets but for {steps} steps: {seen} pictures seen by every variant, of {known['n_train']} faces; "
        f"one thread. FD and KD (of {feature_name(params.evaluate.features)}'s frozen features), precision and recall "
        f"({params.evaluate.neighbours} neighbours) compare {GENERATED} pictures, made in {GRID_SAMPLER.steps} Euler steps with "
        f"guidance {GRID_SAMPLER.guidance:g}, with {known['n_held_out']} faces that it was not trained on; "
        f"as many training faces get FD {floor['fd']:.2f}, KD {floor['kd']:.4f}, precision {floor['precision']:.2f}, recall "
        f"{floor['recall']:.2f}. Agreement: the share of pictures in which the pipeline's own classifier sees the class "
        "that was asked for. Copying: the median distance to the nearest training photo "
        "over that of the held-out photos. The weights are averaged with an EMA of "
        f"{params.train.ema_decay}. The rows of base with different seeds tell the noise.{' ' + note if note else ''}\n\n"
        "![Rows: variants; columns: classes, from the same noise](generator_recipe.png)"
    )
    content = {"machine": before, "notes": notes, "references": known, "runs": list(runs)}
    write_result("generator_recipe", content | {"tables": [table(runs), ema_table(runs)]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--steps", type=int, help="of the training (default: as in conf/)")
    parser.add_argument("--data", type=Path, default=ROOT / "data/processed/face")
    parser.add_argument("--classifier", type=Path, default=ROOT / "models/classifier")
    parser.add_argument("--scratch", type=Path, default=ROOT / ".tinycats/generator_recipe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", default="", help="a sentence for docs/benchmarks.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    before = machine()
    judge = open_judge(arguments.data, arguments.classifier)
    known = references(judge)
    print(json.dumps(known), flush=True)
    steps = arguments.steps or pets().train.steps
    directory = arguments.scratch / f"steps_{steps}"
    directory.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.variants:
            path = directory / f"{name}.{seed}.json"
            if not path.exists():
                state = directory / f"{name}.{seed}.pt"
                found = run(VARIANTS[name], judge, seed, steps, state, path.with_suffix(".npy"))
                write_json(path, {"name": name, **found})
                print(name, seed, f"{found['seconds']:.0f} s", *cells(found["ema"][str(ema_decays()[0])]), flush=True)
    runs = [json.loads(path.read_text()) for path in directory.glob("*.json")]
    runs.sort(key=lambda found: ([*VARIANTS].index(found["name"]), found["seed"]))
    report(runs, known, before, arguments.note)
    pictures = {found["name"]: np.load(directory / f"{found['name']}.0.npy") for found in runs if found["seed"] == 0}
    sheet(judge.labels, judge.classes, pictures, ROOT / "docs/generator_recipe.png")


if __name__ == "__main__":
    with one_line_errors():
        main()
