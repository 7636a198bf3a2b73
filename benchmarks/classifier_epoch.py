"""An epoch of the classifier in the pipeline's loop, beside torchvision's ImageFolder and DataLoader with the same network.

    python benchmarks/classifier_epoch.py data/raw        # of a run with real photos: dvc repro fetch

Writes benchmarks/results/classifier_epoch.json.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from machine import machine, write_tables
from tinycats.classifier.network import MEAN, STD, Classifier, ClassifierConfig
from tinycats.classifier.task import ClassificationTask
from tinycats.data.processed import load_classes, load_split
from tinycats.data.raw import read_raw
from tinycats.learning.loop import Batch, LoopSettings, train
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.history import History
from tinycats.runtime.params import Precision
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.vision import torchvision

SIZE, BATCH, LR = 128, 32, 1e-3
DEVICE = resolve_device("auto")


def unpack(raw: Path, names: set[str], folder: Path) -> None:
    """Write the raw pictures as folder/class/name."""
    for image in read_raw(raw, names):
        path = folder / image.class_name / Path(image.name).name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.content)


def peer(folder: Path, epochs: int, precision: Precision) -> list[float]:
    """Seconds of each epoch, the first not counted."""
    from torchvision.transforms import v2  # after tinycats.runtime.vision, which makes torchvision importable

    transform = v2.Compose([
        v2.RandomResizedCrop(SIZE, scale=(0.45, 1.0)), v2.RandomHorizontalFlip(), v2.RandomAffine(12, shear=6),
        v2.ColorJitter(0.3, 0.3, 0.3), v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD),
    ])  # fmt: skip
    data = torchvision.datasets.ImageFolder(str(folder), transform)
    loader = DataLoader(data, BATCH, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    model = torchvision.models.resnet18(num_classes=len(data.classes)).to(DEVICE, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR)
    times = []
    for _ in range(epochs + 1):
        start = time.perf_counter()
        for pixels, labels in loader:
            with autocast(DEVICE, resolve_dtype(precision, DEVICE)):
                logits = model(pixels.to(DEVICE, memory_format=torch.channels_last))
            loss = F.cross_entropy(logits.float(), labels.to(DEVICE), label_smoothing=0.1)
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

    def batch(self, step: int) -> Batch:
        start = time.perf_counter()
        batch = super().batch(step)
        self.data_seconds.append(time.perf_counter() - start)
        return batch

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        if done % self.steps_per_epoch == 0:
            self.ended.append(time.perf_counter())
        return False


def ours(processed: Path, epochs: int, precision: Precision) -> tuple[list[float], float]:
    """Seconds of each epoch, the first not counted; the share of the time that goes into making batches."""
    classes, other = load_classes(processed)
    split = load_split(processed, "train", SIZE)
    config = ClassifierConfig(classes=classes, arch="resnet18", image_size=SIZE, other=other, flip_at_test=True)
    steps_per_epoch = len(split.labels) // BATCH
    steps = (epochs + 1) * steps_per_epoch
    task = TimedTask(
        name="epoch", model=Classifier(config).to(memory_format=torch.channels_last),  # type: ignore[call-overload]
        train=split, val=split, classes=classes, seed=0, batch_size=BATCH, steps_per_epoch=steps_per_epoch, steps=steps,
        augmentation="full", mirror=True, min_crop=0.45, mixup=0.0, cutmix=0.0, label_smoothing=0.1, patience=None, device=DEVICE,
        dtype=resolve_dtype(precision, DEVICE),
    )  # fmt: skip
    task.ended, task.data_seconds = [], []
    settings = LoopSettings(
        steps=steps, batch_size=BATCH, accumulation=1, lr=LR, warmup_steps=0, schedule="constant", beta2=0.999,
        weight_decay=0.05, clip_norm=20.0, ema_decay=None, guard_steps=0, precision=precision, compile=False, log_every=25,
        checkpoint_every_s=30.0, smoke=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch) / "run")
        train(task, settings, DEVICE, run, History(Path(scratch) / "live", run.path / "images"))
    times = [end - start for start, end in zip(task.ended, task.ended[1:], strict=False)]
    return times, sum(task.data_seconds[steps_per_epoch:]) / sum(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--epochs", type=int, default=3, help="that count, after one that does not")
    arguments = parser.parse_args()
    before = machine()
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, processed = Path(scratch) / "folder", Path(scratch) / "processed"
        preprocess(arguments.raw, processed, [SIZE], 0.1, 0.15, 1, 50_000_000, 0.05, 0, None)
        unpack(arguments.raw, set(load_split(processed, "train", SIZE).names), folder)
        for precision in ("bf16", "fp32"):
            theirs = median(peer(folder, arguments.epochs, precision))
            times, waiting = ours(processed, arguments.epochs, precision)
            rows.append([f"ImageFolder + DataLoader (2 workers), {precision}", f"{theirs:.1f}", "1.00", "-"])
            mine = median(times)
            rows.append([f"ours, {precision}", f"{mine:.1f}", f"{theirs / mine:.2f}", f"{waiting:.1%}"])
    head = [f"ResNet18, {SIZE} px, batch {BATCH}", "seconds an epoch", "times the peer", "making batches"]
    notes = (
        "Same photos, network and kinds of augmentation; median of the epochs after the first. preprocess decodes once, "
        "which is not counted; the peer decodes in every epoch."
    )
    write_tables("classifier_epoch", before, notes, [{"head": head, "rows": rows}])


if __name__ == "__main__":
    main()
