"""What makes the generator better on few real photos: one change at a time, judged on photos that it was not trained on.

    dvc exp run -S data=oxford_pets ... train_classifier      (data/processed and models/classifier are read; any data will do)
    python benchmarks/generator_recipe.py --variants base rope... --seeds 0 1   (all, where none is named)

A quarter of the training photos and the val split are held out; the test split takes no part. What is finished is kept below
--scratch and is not run again. Writes benchmarks/results/generator_recipe.json and docs/generator_recipe.png.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from generator_variants import (
    BASE,
    DISPERSIVE_WEIGHT,
    VARIANTS,
    Variant,
    build,
    dispersive_loss,
    optimizers,
    tell,
)
from machine import ROOT, machine, write_result
from tinycats.classifier.network import Classifier
from tinycats.classifier.task import ClassificationTask
from tinycats.data.processed import Split, load_classes, load_split
from tinycats.data.randomness import derive_seed, generator_for
from tinycats.evaluation.copying import Nearest, copying_metrics, nearest
from tinycats.evaluation.distribution import frechet_distance, kernel_distance, precision_and_recall
from tinycats.evaluation.inference import evaluator_features, generate, predict
from tinycats.evaluator.network import Evaluator, EvaluatorConfig
from tinycats.figures.sheets import class_grid, save_png
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import SamplerSettings
from tinycats.generator.task import VALIDATION_TIMES, FlowMatchingTask
from tinycats.learning.loop import LoopSettings, learning_rate
from tinycats.learning.loop import train as train_network
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import atomic_path, write_json
from tinycats.runtime.history import History
from tinycats.runtime.memory import keep_freed_memory
from tinycats.runtime.run_directory import RunDirectory

CPU = torch.device("cpu")
SIZE, BATCH, LR, WARMUP, CLIP = 64, 16, 2e-3, 50, 1.0  # as dit=nano, train=demo
EMA = (0.98, 0.995)  # the first is the default
SAMPLER = SamplerSettings(method="euler", steps=10, guidance=2.0, guidance_low=0.1, guidance_high=0.9)
NEIGHBOURS, GENERATED, SAMPLING_SEED = 3, 260, 0
EVALUATOR_SEED, EVALUATOR_EPOCHS, EVALUATOR_BATCH = 4242, 30, 32
SAVE_EVERY = 100
ON_SHEET = 8  # pictures of a row, each of another class


@dataclass(frozen=True)
class Judge:
    """What generated pictures are compared with. Features are those of an evaluator trained on the training photos."""

    train: Split
    held_out: Split
    classes: list[str]
    evaluator: Evaluator
    classifier: Classifier
    train_features: np.ndarray
    real_features: np.ndarray
    real_by_features: Nearest  # the photos held out, to those trained on
    real_by_pixels: Nearest
    labels: np.ndarray  # of the pictures to generate, in the proportions of those held out


def hold_out(processed: Path) -> tuple[Split, Split]:
    """Three quarters of the train split; the last quarter and the val split."""
    train, val = load_split(processed, "train", SIZE), load_split(processed, "val", SIZE)
    order = np.random.default_rng(0).permutation(len(train.labels))
    last, first = np.sort(order[: len(order) // 4]), np.sort(order[len(order) // 4 :])
    kept = Split(train.images[first], train.labels[first], [train.names[row] for row in first])
    held_out = Split(
        np.concatenate([train.images[last], val.images]),
        np.concatenate([train.labels[last], val.labels]),
        [*(train.names[row] for row in last), *val.names],
    )
    return kept, held_out


def load_evaluator(directory: Path, train: Split, held_out: Split, classes: list[str], width: int = 32) -> Evaluator:
    """The evaluator in `directory`; trained there first where there is none."""
    if directory.exists():
        return Evaluator.from_pretrained(directory)
    torch.manual_seed(EVALUATOR_SEED)
    model = Evaluator(EvaluatorConfig(classes=classes, image_size=SIZE, width=width))
    per_epoch = len(train.labels) // EVALUATOR_BATCH
    steps = EVALUATOR_EPOCHS * per_epoch
    task = ClassificationTask(
        name="evaluator", model=model.to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        train=train, val=held_out, classes=classes, seed=EVALUATOR_SEED,
        batch_size=EVALUATOR_BATCH, steps_per_epoch=per_epoch, steps=steps, augmentation="full", mirror=True,
        min_crop=0.45, mixup=0.0, cutmix=0.0, label_smoothing=0.0, patience=None, device=CPU,
        dtype=resolve_dtype("auto", CPU),
    )  # fmt: skip
    settings = LoopSettings(
        steps=steps, batch_size=EVALUATOR_BATCH, accumulation=1, lr=2e-3, warmup_steps=steps // 10, schedule="cosine",
        beta2=0.999, weight_decay=0.05, clip_norm=1.0, ema_decay=None, guard_steps=2 * per_epoch, precision="auto",
        compile=False, log_every=per_epoch, checkpoint_every_s=1e9, smoke=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        history = History(Path(scratch) / "live", Path(scratch) / "images")
        train_network(task, settings, CPU, RunDirectory(Path(scratch) / "run"), history)
    model.save_pretrained(directory)  # the last weights: nothing is selected
    return model.eval()


def open_judge(processed: Path, classifier: Path, scratch: Path) -> Judge:
    classes, _ = load_classes(processed)
    train, held_out = hold_out(processed)
    evaluator = load_evaluator(scratch / "evaluator", train, held_out, classes)
    train_features, real_features = (evaluator_features(evaluator, split.images, CPU) for split in (train, held_out))
    rows = np.linspace(0, len(held_out.labels) - 1, GENERATED).round().astype(int)
    return Judge(
        train=train,
        held_out=held_out,
        classes=classes,
        evaluator=evaluator,
        classifier=Classifier.from_pretrained(classifier),
        train_features=train_features,
        real_features=real_features,
        real_by_features=nearest(real_features, train_features),
        real_by_pixels=nearest(held_out.images, train.images),
        labels=np.sort(held_out.labels)[rows],
    )


def distances(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    precision, recall = precision_and_recall(real, generated, NEIGHBOURS)
    fd, kd = frechet_distance(real, generated), kernel_distance(real, generated)
    return {"fd": fd, "kd": kd, "precision": precision, "recall": recall}


@torch.inference_mode()
def evaluator_accuracy(evaluator: Evaluator, features: np.ndarray, labels: np.ndarray) -> float:
    return float((evaluator.head(torch.from_numpy(features)).argmax(dim=1).numpy() == labels).mean())


def scores(judge: Judge, pictures: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Figures of uint8 pictures (N, S, S, 3) that ought to show the classes `labels`."""
    features = evaluator_features(judge.evaluator, pictures, CPU)
    predicted = predict(judge.classifier, pictures, CPU).argmax(axis=1)
    by_features = copying_metrics(nearest(features, judge.train_features), judge.real_by_features)
    by_pixels = copying_metrics(nearest(pictures, judge.train.images), judge.real_by_pixels)
    return {
        **distances(judge.real_features, features),
        "agreement": float((predicted == labels).mean()),
        "agreement_of_evaluator": evaluator_accuracy(judge.evaluator, features, labels),
        "copying_features": by_features["median_ratio"],
        "copying_pixels": by_pixels["median_ratio"],
        "closer_than_p1": by_features["closer_than_p1_of_test"],
    }


def references(judge: Judge) -> dict[str, Any]:
    """How good the evaluator is, and the distances of as many training photos as are generated."""
    order = np.random.default_rng(0).permutation(len(judge.train.labels))[: len(judge.labels)]
    return {
        "n_train": len(judge.train.labels),
        "n_held_out": len(judge.held_out.labels),
        "evaluator_top1": evaluator_accuracy(judge.evaluator, judge.real_features, judge.held_out.labels),
        "floor": distances(judge.real_features, judge.train_features[order]),
    }


def make_task(variant: Variant, judge: Judge, seed: int, steps: int) -> FlowMatchingTask:
    torch.manual_seed(seed)
    config = TinyDiTConfig(classes=judge.classes, image_size=SIZE, patch_size=8, width=192, depth=6, heads=3)
    return FlowMatchingTask(
        name="generator", model=build(variant, config),
        train=judge.train, val=judge.held_out, seed=seed, batch_size=BATCH, steps=steps,
        label_dropout=variant.label_dropout, t_mean=variant.t_mean, t_std=0.8,
        augmentation="basic" if variant.augmentation == "told" else variant.augmentation, mirror=True,
        sample_every=steps, device=CPU, dtype=resolve_dtype("auto", CPU),
    )  # fmt: skip


@dataclass
class Training:
    """A variant in training: goes on from the state in `path`, where there is one."""

    variant: Variant
    task: FlowMatchingTask
    path: Path
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def __post_init__(self) -> None:
        model = self.task.model
        self.averages = [AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(decay)) for decay in EMA]
        self.features: list[Tensor] = []
        if self.variant.dispersive:  # after the copies, which need no hook; at a third of the depth
            block = model.blocks[len(model.blocks) // 3 - 1]
            block.register_forward_hook(lambda *call: self.features.append(call[2]))
        self.optimizers = optimizers(self.variant, model, LR)
        self.rates = [group["lr"] for optimizer in self.optimizers for group in optimizer.param_groups]
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.step, self.seconds, self.cpu_seconds = state["step"], state["seconds"], state["cpu_seconds"]
            for part, content in zip(self.parts(), state["parts"], strict=True):
                part.load_state_dict(content)

    def parts(self) -> list[Any]:
        return [self.task.model, *self.averages, *self.optimizers]

    def save(self) -> None:
        content = {"step": self.step, "seconds": self.seconds, "cpu_seconds": self.cpu_seconds}
        with atomic_path(self.path) as temporary:
            torch.save({**content, "parts": [part.state_dict() for part in self.parts()]}, temporary)

    def run(self, steps: int) -> None:
        """Train up to `steps`, which may be fewer than the task's."""
        torch.manual_seed(derive_seed(self.task.seed, "dropout", self.step))
        self.task.model.train()
        while self.step < steps:
            start, cpu = time.perf_counter(), time.process_time()
            self.one_step()
            self.seconds += time.perf_counter() - start
            self.cpu_seconds += time.process_time() - cpu
            if self.step % SAVE_EVERY == 0 or self.step == steps:
                self.save()

    def one_step(self) -> None:
        task, model = self.task, self.task.model
        batch = task.batch(self.step)
        if self.variant.augmentation == "told":
            batch = tell(batch, generator_for(task.seed, "told", self.step))
        groups = [group for optimizer in self.optimizers for group in optimizer.param_groups]
        for group, rate in zip(groups, self.rates, strict=True):
            group["lr"] = learning_rate(self.step, rate, WARMUP, task.steps, self.variant.schedule)
        with autocast(CPU, task.dtype):
            loss = task.loss(model, batch)
        if self.variant.dispersive:
            loss = loss + DISPERSIVE_WEIGHT * dispersive_loss(self.features.pop())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP, error_if_nonfinite=True)
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
    for decay, average in zip(EMA, training.averages, strict=True):
        model = cast(TinyDiT, average.module).eval()
        judged[str(decay)] = {"x_error": task.validation_errors(model)}
        if decay == EMA[0] or variant == BASE:  # making pictures takes long
            pictures = generate(model, judge.labels, SAMPLER, SAMPLING_SEED, CPU)
            judged[str(decay)] |= scores(judge, pictures, judge.labels)
        if decay == EMA[0]:
            np.save(samples, pictures)
    return {
        "seed": seed,
        "steps": steps,
        "parameters": sum(p.numel() for p in task.model.parameters()),
        "seconds": training.seconds,
        "cpu_seconds": training.cpu_seconds,
        "variant": asdict(variant),
        "ema": judged,
    }


def errors(figures: dict[str, Any]) -> str:
    return " ".join(f"{error:.3f}".removeprefix("0") for error in figures["x_error"])


def cells(figures: dict[str, Any]) -> list[str]:
    """What the tables show of one model's figures."""
    return [
        f"{figures['fd']:.2f}", f"{figures['kd']:.4f}", f"{figures['precision']:.2f}", f"{figures['recall']:.2f}",
        f"{figures['agreement']:.0%}", f"{figures['agreement_of_evaluator']:.0%}",
        f"{figures['copying_features']:.2f}", f"{figures['copying_pixels']:.2f}", errors(figures),
    ]  # fmt: skip


HEAD = [
    "FD", "KD", "precision", "recall", "agreement: classifier", "evaluator", "copying: features", "pixels",
    f"x-error at t={'/'.join(map(str, VALIDATION_TIMES))}",
]  # fmt: skip


def table(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    for found in runs:
        differs = [f"{key} {value}" for key, value in found["variant"].items() if value != getattr(BASE, key)]
        cost = found["cpu_seconds"] / found["steps"] * 1000
        front = [
            found["name"],
            ", ".join(differs) or "-",
            found["seed"],
            f"{found['parameters'] / 1e6:.2f}",
            f"{cost:.0f}",
        ]
        default, other = (found["ema"][str(decay)] for decay in EMA)
        rows.append([*front, *cells(default), errors(other)])
    head = ["variant", "differs in", "seed", "M parameters", "CPU ms a step", *HEAD, f"the same with EMA {EMA[1]}"]
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
    steps, floor = runs[0]["steps"], known["floor"]
    notes = (
        f"dit=nano at {SIZE} px, train=demo but for {steps} steps of {BATCH}: {steps * BATCH} pictures "
        f"seen by every variant, of {known['n_train']} photos; one thread. FD and KD (of the evaluator's features), precision "
        f"and recall ({NEIGHBOURS} neighbours) compare {GENERATED} pictures, made in {SAMPLER.steps} Euler steps with guidance "
        f"{SAMPLER.guidance:g}, with {known['n_held_out']} photos that neither the generator nor the evaluator was trained on; "
        f"as many training photos get FD {floor['fd']:.2f}, KD {floor['kd']:.4f}, precision {floor['precision']:.2f}, recall "
        f"{floor['recall']:.2f}. The evaluator ({EVALUATOR_EPOCHS} epochs, its last weights) is right on "
        f"{known['evaluator_top1']:.1%} of these photos. Agreement: the share of pictures in which a network sees the class "
        "that was asked for; the classifier is the pipeline's own. Copying: the median distance to the nearest training photo "
        "over that of the held-out photos. The weights are averaged with an EMA of "
        f"{EMA[0]}. The rows of base with different seeds tell the noise.{' ' + note if note else ''}\n\n"
        "![Rows: variants; columns: classes, from the same noise](generator_recipe.png)"
    )
    content = {"machine": before, "notes": notes, "references": known, "runs": list(runs)}
    write_result("generator_recipe", content | {"tables": [table(runs), ema_table(runs)]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=[*VARIANTS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--data", type=Path, default=ROOT / "data/processed")
    parser.add_argument("--classifier", type=Path, default=ROOT / "models/classifier")
    parser.add_argument("--scratch", type=Path, default=ROOT / ".tinycats/generator_recipe")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--note", default="", help="a sentence for docs/benchmarks.md")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    before = machine()
    judge = open_judge(arguments.data, arguments.classifier, arguments.scratch)
    known = references(judge)
    print(json.dumps(known), flush=True)
    directory = arguments.scratch / f"steps_{arguments.steps}"
    directory.mkdir(parents=True, exist_ok=True)
    for seed in arguments.seeds:
        for name in arguments.variants:
            path = directory / f"{name}.{seed}.json"
            if not path.exists():
                state = directory / f"{name}.{seed}.pt"
                found = run(VARIANTS[name], judge, seed, arguments.steps, state, path.with_suffix(".npy"))
                write_json(path, {"name": name, **found})
                print(name, seed, f"{found['seconds']:.0f} s", *cells(found["ema"][str(EMA[0])]), flush=True)
    runs = [json.loads(path.read_text()) for path in directory.glob("*.json")]
    runs.sort(key=lambda found: ([*VARIANTS].index(found["name"]), found["seed"]))
    report(runs, known, before, arguments.note)
    pictures = {found["name"]: np.load(directory / f"{found['name']}.0.npy") for found in runs if found["seed"] == 0}
    sheet(judge.labels, judge.classes, pictures, ROOT / "docs/generator_recipe.png")


if __name__ == "__main__":
    with one_line_errors():
        main()
