"""What makes the classifier better on few real photos: one variant of the recipe a run, judged on a third of the training photos.

    dvc exp run -S data=oxford_pets ... preprocess          (or any other data: data/raw and data/processed are read)
    python benchmarks/classifier_recipe.py base cutmix...   (no name: all of them; the names are in VARIANTS)

The test split takes no part. Each run appends to benchmarks/results/classifier_recipe.json.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from filelock import FileLock
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from machine import ROOT, machine, write_result
from tinycats.classifier.matmul_conv import use_matmul
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.data.augment import augment, cut, jitter_colours, mix, resample
from tinycats.data.batches import batch_indices
from tinycats.data.pixels import as_tensor, to_float
from tinycats.data.processed import load_classes
from tinycats.data.randomness import RowRandom
from tinycats.data.raw import read_raw
from tinycats.learning.loop import learning_rate
from tinycats.preparing.decode import decode, to_square
from tinycats.runtime.params import AugmentationLevel, Schedule
from tinycats.runtime.vision import torchvision


@dataclass(frozen=True)
class Variant:
    size: int = 64
    stored: float = 1.0  # the pictures that crops are taken from are this much larger
    epochs: int = 30
    batch: int = 32
    lr: float = 2e-3
    beta2: float = 0.999
    weight_decay: float = 0.05
    clip: float = 20.0
    min_crop: float = 0.45
    mixup: float = 0.4
    cutmix: float = 0.0  # share of the batches that are cut instead of mixed
    smoothing: float = 0.1
    ema: float = 0.99
    small_first: float = 0.0  # share of the epochs at two thirds of the size
    arch: Literal["resnet18", "resnet34"] = "resnet18"
    width: int = 64  # channels of the stem; 128 to 512 in the stages become as many times more or fewer
    pooling: bool = True  # of the stem; without, every stage sees four times as many pixels
    schedule: Schedule = "cosine"
    augmentation: AugmentationLevel = "full"
    fit: Literal["crop", "stretch", "whole"] = "crop"  # whole: stored stretched, random crops of the right proportions


BASE = Variant()
SCORES = (("weights", "top1"), ("average", "top1"), ("weights", "top1_unflipped"), ("weights", "cat_or_other"))
NOTES = (
    f"ResNet18 at {BASE.size} px from scratch, {BASE.epochs} epochs on three quarters of the photos outside the test split, "
    "judged on the last quarter (the standard error of a top-1 is 2.4 points; runs share their seed and their photos, so that "
    "differences are somewhat surer). What costs more a photo gets fewer epochs: the seconds (of one thread) tell. "
    f"Averaged weights: EMA of {BASE.ema} a step. Unflipped: without the mirror image at test time."
)
STORED = replace(BASE, stored=1.5)
SMALL_FIRST = replace(STORED, small_first=0.6, epochs=45)
VARIANTS = {
    "base": BASE,
    "larger_source": STORED,
    "small_first": SMALL_FIRST,
    "cutmix": replace(BASE, cutmix=0.5),
    "no_mixup": replace(BASE, mixup=0.0),
    "wider_crops": replace(BASE, min_crop=0.2),
    "flips_alone": replace(BASE, augmentation="basic"),
    "not_augmented": replace(BASE, augmentation="none"),
    "size_96": replace(BASE, size=96, epochs=13),
    "stem_without_pooling": replace(BASE, pooling=False, epochs=8),
    "wide": replace(BASE, width=96, epochs=13),
    "narrow": replace(BASE, width=48, epochs=50),
    "resnet34": replace(BASE, arch="resnet34", epochs=15),
    "constant_rate": replace(BASE, schedule="constant"),
    "decay_0.5": replace(BASE, weight_decay=0.5),
    "clip_1": replace(BASE, clip=1.0),
    "whole_photo": replace(SMALL_FIRST, fit="whole"),
    "stretched": replace(SMALL_FIRST, fit="stretch"),
}


def load(raw: Path, processed: Path, size: int, fit: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, Tensor]:
    """Of everything outside the test split: pictures (N, size, size, 3), labels (N,), held out (N,), largest square (N, 2)."""
    wanted = {}
    for line in (processed / "index.csv").read_text().splitlines()[1:]:
        name, label, split, _ = line.rsplit(",", 3)
        if split != "test":
            wanted[name] = int(label)
    pictures, labels, squares = [], [], []
    for image in read_raw(raw, wanted):
        picture = decode(image.content, 1, 10**9)
        pictures.append(to_square(picture, size, "crop" if fit == "crop" else "stretch"))
        squares.append([min(picture.size) / side for side in picture.size])
        labels.append(wanted[image.name])
    order = np.random.default_rng(0).permutation(len(labels))
    held_out = np.zeros(len(labels), bool)
    held_out[order[: len(labels) // 4]] = True
    return np.stack(pictures), np.array(labels), held_out, torch.tensor(squares)


def small(size: int) -> int:
    return round(size * 2 / 3 / 8) * 8


@torch.inference_mode()
def accuracy(model: Classifier, images: np.ndarray, labels: np.ndarray, other: int | None) -> dict[str, float]:
    model.eval()
    batches = [torch.from_numpy(images[i : i + 128]) for i in range(0, len(images), 128)]
    with torch.autocast("cpu", torch.bfloat16):
        probabilities = torch.cat([model.predict(batch) for batch in batches]).numpy()
        plain = torch.cat([model(to_float(batch))[0].float() for batch in batches]).numpy()
    found = {
        "top1": float((probabilities.argmax(1) == labels).mean()),
        "top1_unflipped": float((plain.argmax(1) == labels).mean()),
    }
    if other is not None:
        found["cat_or_other"] = float(((probabilities.argmax(1) == other) == (labels == other)).mean())
    model.train()
    return found


def make_model(variant: Variant, classes: list[str], other: str | None) -> Classifier:
    model = Classifier(
        ClassifierConfig(classes=classes, arch=variant.arch, image_size=variant.size, other=other, flip_at_test=True)
    )
    if variant.width != BASE.width:
        resnet = torchvision.models.get_model(variant.arch, weights=None)
        resnet.inplanes = variant.width
        resnet.conv1 = nn.Conv2d(3, variant.width, 7, stride=2, padding=3, bias=False)
        resnet.bn1 = nn.BatchNorm2d(variant.width)
        for stage in range(4):
            blocks = len(model.trunk[4 + stage])  # type: ignore[arg-type]
            layer = resnet._make_layer(
                torchvision.models.resnet.BasicBlock, variant.width << stage, blocks, stride=1 if stage == 0 else 2
            )
            setattr(resnet, f"layer{stage + 1}", layer)
        model.head = nn.Linear(variant.width << 3, len(classes))
        model.trunk = nn.Sequential(
            *(module for name, module in resnet.named_children() if name not in ("fc", "avgpool"))
        )
        use_matmul(model.trunk)
    if not variant.pooling:
        model.trunk[3] = nn.Identity()
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def run(variant: Variant, raw: Path, processed: Path, seed: int) -> dict[str, Any]:
    classes, other_class = load_classes(processed)
    other = classes.index(other_class) if other_class else None
    stored, labels, held_out, squares = load(raw, processed, round(variant.size * variant.stored), variant.fit)
    shown, tested = "stretch" if variant.fit == "stretch" else "crop", stored
    if variant.stored != 1 or variant.fit != shown:
        tested = load(raw, processed, variant.size, shown)[0]
    tested = tested[held_out]
    squares = squares[~held_out]
    images, targets = stored[~held_out], F.one_hot(torch.from_numpy(labels[~held_out]), len(classes)).float()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = make_model(variant, classes, other_class)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(variant.ema), use_buffers=True)
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": variant.weight_decay},
        {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=variant.lr, betas=(0.9, variant.beta2), fused=True)
    steps, start, running = variant.epochs * (len(images) // variant.batch), time.perf_counter(), 0.0
    model.train()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, variant.lr, steps // 10, steps, variant.schedule)
        chosen = batch_indices(seed, step, variant.batch, len(images))
        pixels, wanted = to_float(as_tensor(images[chosen.numpy()])), targets[chosen]
        random = RowRandom(seed, "augment", step, variant.batch, range(variant.batch), pixels.device)
        size = variant.size
        if step < variant.small_first * steps:
            size = small(size)
        if variant.fit == "whole":
            mirrored, area = random.uniform() < 0.5, (variant.min_crop, 1.0)
            pixels = resample(pixels, mirrored, random, area, size=size, square=squares[chosen])
            pixels = jitter_colours(pixels, random)
        else:
            pixels = augment(pixels, variant.augmentation, random, min_crop=variant.min_crop, size=size)
        if rng.random() < variant.cutmix:
            pixels, wanted = cut(pixels, wanted, rng)
        elif variant.mixup:
            pixels, wanted = mix(pixels, wanted, variant.mixup, rng)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(pixels.contiguous(memory_format=torch.channels_last))[0]
        loss = F.cross_entropy(logits.float(), wanted, label_smoothing=variant.smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), variant.clip)
        optimizer.step()
        optimizer.zero_grad()
        average.update_parameters(model)
        running = loss.item() if step == 0 else 0.98 * running + 0.02 * loss.item()
    seconds = time.perf_counter() - start
    return {
        "seed": seed,
        "seconds": seconds,
        "loss": running,
        "n": int(held_out.sum()),
        "weights": accuracy(model, tested, labels[held_out], other),
        "average": accuracy(cast(Classifier, average.module), tested, labels[held_out], other),
        "variant": asdict(variant),
    }


def table(runs: list[dict[str, Any]]) -> dict[str, Any]:
    rows = []
    for run in runs:
        variant = Variant(**{key: value for key, value in run["variant"].items() if key in Variant.__annotations__})
        differs = [f"{key} {value}" for key, value in asdict(variant).items() if value != getattr(BASE, key)]
        pixels = 1 - variant.small_first + variant.small_first * (small(variant.size) / variant.size) ** 2
        scores = [f"{run[kind][name]:.1%}" for kind, name in SCORES]
        cost = [f"{variant.epochs * pixels * (variant.size / BASE.size) ** 2:.0f}", f"{run['seconds']:.0f}"]
        rows.append([run["name"], ", ".join(differs) or "-", run["seed"], *cost, *scores])
    head = ["variant", "differs in", "seed", "epochs' worth of pixels", "seconds"]
    return {"head": [*head, "top-1", "of the averaged weights", "unflipped", "cat or other"], "rows": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*VARIANTS])
    parser.add_argument("--data", type=Path, default=ROOT / "data")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # two runs with different names use two cores better than one run with two threads
    for name in arguments.names:
        variant = VARIANTS[name]
        if arguments.epochs:
            variant = replace(variant, epochs=arguments.epochs)
        found = run(variant, arguments.data / "raw", arguments.data / "processed", arguments.seed)
        path = ROOT / "benchmarks/results/classifier_recipe.json"
        with FileLock(path.with_suffix(".lock")):  # two runs may end at once
            content: dict[str, Any] = (
                json.loads(path.read_text()) if path.exists() else {"machine": machine(), "runs": []}
            )
            content["runs"].append({"name": name, **found})
            content |= {"notes": NOTES, "tables": [table(content["runs"])]}
            write_result("classifier_recipe", content)
        print(name, json.dumps({key: found[key] for key in ("loss", "seconds", "weights", "average")}), flush=True)


if __name__ == "__main__":
    main()
