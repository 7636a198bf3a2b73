"""An epoch of the classifier in the pipeline's loop, against torchvision's ImageFolder and DataLoader with the same network.

    python benchmarks/classifier_epoch.py data/raw        # of a run with real photos: dvc repro fetch

Writes benchmarks/results/classifier_epoch.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from machine import machine, write_tables
from tinycats.backbones.networks import normalisation
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.classifier.task import ClassificationTask
from tinycats.data.processed import load_classes, load_split
from tinycats.data.raw import read_raw
from tinycats.learning.interface import Batch
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.params import ClassifierParams
from tinycats.runtime.vision import torchvision
from training import composed, train_in_scratch

SIZE = 128
DEVICE = resolve_device("auto")


def unpack(raw: Path, names: set[str], folder: Path) -> None:
    """Write the raw pictures as folder/class/name."""
    for image in read_raw(raw, names):
        path = folder / image.class_name / Path(image.name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.content)


def peer(folder: Path, training: ClassifierParams) -> list[float]:
    """Seconds of each epoch, the first not counted."""
    from torchvision.transforms import v2  # after tinycats.runtime.vision, which makes torchvision importable

    statistics = normalisation(training.arch)
    transform = v2.Compose([
        v2.RandomResizedCrop(SIZE, scale=(training.min_crop, 1.0)), v2.RandomHorizontalFlip(), v2.RandomAffine(12, shear=6),
        v2.ColorJitter(0.3, 0.3, 0.3), v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(statistics.mean, statistics.std),
    ])  # fmt: skip
    data = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(data, training.batch_size, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    model = torchvision.models.resnet18(num_classes=len(data.classes)).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.lr)
    dtype = resolve_dtype(training.precision, DEVICE)
    times = []
    for _ in range(training.epochs):
        start = time.perf_counter()
        for pixels, labels in loader:
            with autocast(DEVICE, dtype):
                logits = model(pixels.to(DEVICE, memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels.to(DEVICE), label_smoothing=training.label_smoothing)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()
        times.append(time.perf_counter() - start)
    return times[1:]


class TimedTask(ClassificationTask):
    """Notes when each epoch ended, and how long its batches took to make."""

    ended: list[float]
    data_seconds: list[float]

    def batches(self, start: int, rows: range) -> Iterator[Batch]:
        batches = super().batches(start, rows)
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            if batch is None:
                return
            self.data_seconds.append(time.perf_counter() - started)
            yield batch

    def validates(self, done: int) -> bool:
        if done % self.steps_per_epoch == 0:
            self.ended.append(time.perf_counter())
        return False


def ours(processed: Path, training: ClassifierParams) -> tuple[list[float], float]:
    """Seconds of each epoch, the first not counted; the share of the time that goes into making batches."""
    classes, other = load_classes(processed)
    split = load_split(processed / "photo", "train", SIZE)
    statistics = normalisation(training.arch)
    config = ClassifierConfig(
        classes=classes, arch=training.arch, image_size=SIZE, mean=statistics.mean, std=statistics.std, other=other,
        flip_at_test=composed().mirror,
    )  # fmt: skip
    dtype = resolve_dtype(training.precision, DEVICE)
    task = TimedTask(
        name="epoch", model=Classifier(config), train=split, val=split, classes=classes, crop_size=SIZE, seed=0,
        mirror=composed().mirror, training=training, device=DEVICE, dtype=dtype,
    )  # fmt: skip
    task.ended, task.data_seconds = [], []
    train_in_scratch(task, training, DEVICE)
    times = [end - start for start, end in zip(task.ended, task.ended[1:], strict=False)]
    return times, sum(task.data_seconds[task.steps_per_epoch :]) / sum(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--epochs", type=int, default=3, help="that count, after one that does not")
    arguments = parser.parse_args()
    before, params = machine(), composed()
    settings = params.preprocess.model_copy(update={"min_side_px": 1, "other_class": None})
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, processed = Path(scratch) / "folder", Path(scratch) / "processed"
        preprocess(arguments.raw, processed, [SIZE], settings, params.seed)
        unpack(arguments.raw, set(load_split(processed / "photo", "train", SIZE).names), folder)
        for precision in ("bf16", "fp32"):
            epochs = {"epochs": arguments.epochs + 1, "precision": precision}
            training = params.classifier.model_copy(update=epochs)
            theirs = median(peer(folder, training))
            times, waiting = ours(processed / "photo", training)
            rows.append([f"ImageFolder + DataLoader (2 workers), {precision}", f"{theirs:.1f}", "1.00", "-"])
            mine = median(times)
            rows.append([f"ours, {precision}", f"{mine:.1f}", f"{theirs / mine:.2f}", f"{waiting:.1%}"])
    head = [
        f"ResNet18, {SIZE} px, batch {params.classifier.batch_size}",
        "seconds an epoch",
        "times the peer",
        "making batches",
    ]
    notes = (
        "Same photos, network and kinds of augmentation; median of the epochs after the first. preprocess decodes once, "
        "which is not counted; the peer decodes in every epoch."
    )
    write_tables("classifier_epoch", before, notes, [{"head": head, "rows": rows}])


if __name__ == "__main__":
    main()
