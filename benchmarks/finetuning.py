"""What helps to fine-tune a pretrained classifier on few photos, at about equal computing time. Tuned on training photos alone.

    python benchmarks/finetuning.py PROCESSED [--only NAME ...] [--threads 1]

PROCESSED is a packed data set (data/processed/photo of a run with classifier.source_size, here 256). A fifth of its training and
validation photos, of each class, is held out; the test split is not read. Variants that are in the result already are not run
again, so that it can be stopped and repeated, and --only runs some. The seconds are those of the processor: other work on the
machine does not count. Writes benchmarks/results/finetuning.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from machine import ROOT, machine, write_tables
from tinycats.backbones.features import resize
from tinycats.backbones.networks import load_imagenet, normalisation
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.classifier.task import ClassificationTask
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split, load_classes, load_split
from tinycats.learning.precision import resolve_dtype
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import ClassifierParams
from training import composed, train_in_scratch

CPU = torch.device("cpu")
RESULT = ROOT / "benchmarks/results/finetuning.json"
FOLDS = 5
BATCH_SIZE = 64
TEST_SIZES = (160, 192, 224)
STAGES = 7  # of EfficientNet's blocks


@dataclass(frozen=True)
class Variant:
    about: str
    changes: Mapping[str, Any] = field(default_factory=dict)  # of BASE
    layer_decay: float = 1.0  # the learning rate of a stage of blocks, times that of the one behind it
    head_first: bool = False  # the head begins as a logistic regression on the frozen features


# Changes of the parameters of classifier=efficientnet_lite0: short, so that there is time for many variants
BASE = {
    "crop_size": 160,
    "epochs": 10,
    "lr": 0.0004,
    "head_lr": 5.0,
    "ema_decay": 0.99,
    "mixup": 0.2,
    "cutmix": 0.5,
    "min_crop": 0.3,
}
VARIANTS = {
    "base": Variant("crops of 160 px, MixUp or CutMix in each batch"),
    "size 128": Variant("crops of 128 px, more epochs", {"crop_size": 128, "epochs": 15}),
    "size 192": Variant("crops of 192 px, fewer epochs", {"crop_size": 192, "epochs": 7}),
    "lite2": Variant("EfficientNet-Lite2, fewer epochs", {"arch": "tf_efficientnet_lite2", "epochs": 5}),
    "head first": Variant(
        "the head begins as a logistic regression, at the rate of the rest", {"head_lr": 1.0}, head_first=True
    ),
    "layer-wise": Variant("each stage learns at 0.75 of the rate of the next", layer_decay=0.75),
    "lr 1e-3": Variant("a rate of 1e-3", {"lr": 1e-3}),
    "no average": Variant("no average of the weights", {"ema_decay": None}),
    "no mixing": Variant("neither MixUp nor CutMix", {"mixup": 0.0, "cutmix": 0.0}),
    "no mixing, size 192": Variant(
        "neither, crops of 192 px, fewer epochs", {"mixup": 0.0, "cutmix": 0.0, "crop_size": 192, "epochs": 7}
    ),
    "longer": Variant("twice the epochs", {"epochs": 20}),
}


class LayerWiseTask(ClassificationTask):
    layer_decay: float = 1.0

    @property
    def lr_scales(self) -> Mapping[str, float]:
        stages = {f"trunk.blocks.{stage}.": self.layer_decay ** (STAGES - stage) for stage in range(STAGES)}
        return {**stages, "trunk.conv_stem": self.layer_decay ** (STAGES + 1), **super().lr_scales}


def hold_out(processed: Path, size: int) -> tuple[Split, Split]:
    """The training and validation photos without and with a fifth of each class, chosen by their names."""
    parts = [load_split(processed, split, size) for split in ("train", "val")]
    images, labels = (np.concatenate([getattr(part, key) for part in parts]) for key in ("images", "labels"))
    names = [name for part in parts for name in part.names]
    fold, count = np.zeros(len(names), dtype=int), np.zeros(labels.max() + 1, dtype=int)
    for row in sorted(range(len(names)), key=lambda row: hashlib.sha256(names[row].encode()).digest()):
        fold[row] = count[labels[row]] % FOLDS
        count[labels[row]] += 1
    kept, held = np.flatnonzero(fold > 0), np.flatnonzero(fold == 0)
    return tuple(Split(images[rows], labels[rows], [names[row] for row in rows]) for rows in (kept, held))  # type: ignore[return-value]


def batches(split: Split, size: int) -> list[torch.Tensor]:
    starts = range(0, len(split.labels), BATCH_SIZE)
    return [resize(as_tensor(split.images[start : start + BATCH_SIZE]), size) for start in starts]


@torch.inference_mode()
def fit_head(model: Classifier, train: Split, size: int) -> None:
    model.eval()
    features = torch.cat([model.views(batch)[1].mean(dim=(2, 3)) for batch in batches(train, size)]).numpy()
    probe = LogisticRegression(C=0.1, max_iter=300).fit(features, train.labels)
    model.head.weight.copy_(torch.from_numpy(probe.coef_))
    model.head.bias.copy_(torch.from_numpy(probe.intercept_))


@torch.inference_mode()
def measured(model: Classifier, held_out: Split, other: str | None, size: int) -> dict[str, float]:
    model.eval()
    predicted = torch.cat([model.predict(batch)[0].argmax(dim=1) for batch in batches(held_out, size)]).numpy()
    figures = {"top1": float((predicted == held_out.labels).mean())}
    if other is not None:
        label = model.config.classes.index(other)
        figures["cat_or_other"] = float(((predicted == label) == (held_out.labels == label)).mean())
    return figures


def run(variant: Variant, processed: Path) -> dict[str, Any]:
    params = composed("data=image_folder", "data.path=photos")
    training = ClassifierParams.model_validate({**params.classifier.model_dump(), **BASE, **variant.changes})
    classes, other = load_classes(processed)
    train, held_out = hold_out(processed, training.source_size or training.image_size)
    statistics = normalisation(training.arch)
    config = ClassifierConfig(
        classes=classes, arch=training.arch, image_size=training.image_size, mean=statistics.mean, std=statistics.std,
        other=other, flip_at_test=True,
    )  # fmt: skip
    torch.manual_seed(0)
    model = Classifier(config)
    load_imagenet(model.trunk, training.arch, "")
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    crop_size, began = training.crop_size or training.image_size, time.process_time()
    if variant.head_first:
        fit_head(model, train, crop_size)
    task = LayerWiseTask(
        name="finetuning", model=model, train=train, val=Split(held_out.images[:1], held_out.labels[:1], []), classes=classes,
        crop_size=crop_size, seed=0, mirror=True, training=training, device=CPU, dtype=resolve_dtype(training.precision, CPU),
    )  # fmt: skip
    task.layer_decay = variant.layer_decay
    task.log_confusion = lambda done, history: None  # type: ignore[method-assign]  # of one image it says nothing
    train_in_scratch(task, training, CPU)
    seconds = time.process_time() - began
    model.load_state_dict(task.best)
    return {
        "epochs": training.epochs,
        "processor_s": seconds,
        "n": len(held_out.labels),
        "by_size": {str(size): measured(model, held_out, other, size) for size in TEST_SIZES},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("processed", type=Path)
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    before = machine()
    for name in arguments.only:
        found = json.loads(RESULT.read_text())["measured"] if RESULT.exists() else {}
        if name not in found:
            found[name] = run(VARIANTS[name], arguments.processed)
            write(before, found)


def write(before: dict[str, Any], found: dict[str, Any]) -> None:
    head = [
        "variant",
        "",
        "epochs",
        "processor s",
        *(f"top-1 at {size} px" for size in TEST_SIZES),
        "cat or other at 192 px",
    ]
    rows = [
        [
            name, VARIANTS[name].about, of["epochs"], round(of["processor_s"]),
            *(f"{of['by_size'][str(size)]['top1']:.1%}" for size in TEST_SIZES), f"{of['by_size']['192']['cat_or_other']:.1%}",
        ]
        for name, of in found.items()
    ]  # fmt: skip
    n = next(iter(found.values()))["n"]
    notes = (
        f"{n} photos held out of the training photos, one run each: differences below about two points are chance. "
        "The image classified may be larger than the crops of training."
    )
    write_tables("finetuning", before, notes, [{"head": head, "rows": rows}])
    content = json.loads(RESULT.read_text())
    RESULT.write_text(json.dumps({**content, "measured": found}, indent=2) + "\n")


if __name__ == "__main__":
    with one_line_errors():
        main()
