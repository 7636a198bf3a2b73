"""Training the classifier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.data.augment import augment, cut, enlarge_small, mix
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor, to_float
from tinycats.data.processed import Split
from tinycats.data.randomness import RowRandom, derive_seed
from tinycats.learning.interface import Batch
from tinycats.learning.precision import autocast
from tinycats.learning.task import ImageTask
from tinycats.runtime.history import History
from tinycats.runtime.params import ClassifierParams

VALIDATION_BATCH = 128


@dataclass
class ClassificationTask(ImageTask):
    """Cross-entropy on augmented images; keeps the latest weights or, with early stopping, those that validated best.

    Without it, the learning rate ends low and the latest are as good; to choose by a few images would spoil them for calibration.
    `model` maps float pixels (B, 3, H, W) in [0, 1] to (logits (B, K), anything). It sees crops of `crop_size` pixels of the
    images of `train`, and those of `val` as they are.
    """

    training: ClassifierParams
    val: Split
    classes: list[str]
    crop_size: int
    best: dict[str, Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0
    best_step: int = 0  # of the weights that are kept
    better_step: int = 0  # of the last validation that was better than all before it
    best_predicted: Tensor = field(default_factory=lambda: torch.empty(0))  # of the validation images

    @property
    def steps_per_epoch(self) -> int:
        return max(len(self.train.labels) // self.training.batch_size, 1)

    @property
    def steps(self) -> int:
        steps = self.training.epochs * self.steps_per_epoch
        return min(steps, self.training.max_steps or steps)

    @property
    def lr_scales(self) -> Mapping[str, float]:
        return {"head.": self.training.head_lr}

    @property
    def warmup_steps(self) -> int:
        return round(self.training.warmup_fraction * self.steps)

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        training = self.training
        random = RowRandom(self.seed, "augment", step, training.batch_size, rows, self.device)
        size = self.crop_size
        if step < training.small_first * self.steps:
            size = round(size * 2 / 3 / 8) * 8
        pixels = to_float(images.pixels)
        pixels = augment(pixels, training.augmentation, random, self.mirror, training.min_crop, size)
        if training.small_share:
            pixels = enlarge_small(pixels, training.small_share, random)
        targets = F.one_hot(images.labels, len(self.classes)).float()
        rng = np.random.default_rng(derive_seed(self.seed, "mixup", step))
        if rng.random() < training.cutmix:
            pixels, targets = cut(pixels, targets, rng)
        elif training.mixup > 0:
            pixels, targets = mix(pixels, targets, training.mixup, rng)
        return {"pixels": pixels, "targets": targets}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits, _ = model(batch["pixels"].contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), batch["targets"], label_smoothing=self.training.label_smoothing)

    def validates(self, done: int) -> bool:
        return done % self.steps_per_epoch == 0 or done == self.steps

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        ranked = self.ranked_classes(averaged)
        right = ranked == torch.from_numpy(self.val.labels)[:, None]
        top1, top5 = float(right[:, 0].float().mean()), float(right[:, :5].any(dim=1).float().mean())
        history.log(done, {"val_top1": top1, "val_top5": top5})
        if top1 > self.best_accuracy:
            self.better_step = done
        patience = self.training.early_stopping_epochs
        # of equal ones the latest: the learning rate has fallen since
        if patience is None or top1 >= self.best_accuracy:
            self.best_accuracy, self.best_step = top1, done
            self.best = {name: tensor.detach().clone() for name, tensor in averaged.state_dict().items()}
            self.best_predicted = ranked[:, 0]
        epochs_since = (done - self.better_step) / self.steps_per_epoch
        stop = patience is not None and epochs_since >= patience
        if stop or done == self.steps:
            self.log_confusion(done, history)
        return stop

    @torch.inference_mode()
    def ranked_classes(self, model: nn.Module) -> Tensor:
        """The classes of each validation image, the most probable first: int64 (N, K)."""
        model.eval()
        ranked = []
        for start in range(0, len(self.val.labels), VALIDATION_BATCH):
            pixels = to_float(as_tensor(self.val.images[start : start + VALIDATION_BATCH]).to(self.device))
            with autocast(self.device, self.dtype):
                logits, _ = model(pixels.contiguous(memory_format=torch.channels_last))
            ranked.append(logits.float().argsort(dim=1, descending=True, stable=True).cpu())
        return torch.cat(ranked)

    def log_confusion(self, done: int, history: History) -> None:
        """Log the confusion matrix of the best weights on the validation split as an image."""
        from tinycats.figures.confusion import confusion_figure, to_image  # matplotlib loads slowly

        history.log_image(
            done,
            "confusion_val.png",
            to_image(confusion_figure(self.val.labels, self.best_predicted.numpy(), self.classes)),
        )

    def summary(self) -> dict[str, float]:
        return {
            "n_train": len(self.train.labels),
            "n_val": len(self.val.labels),
            "val_top1": self.best_accuracy,
            "best_step": self.best_step,
        }

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_accuracy": self.best_accuracy,
            "best_step": self.best_step,
            "better_step": self.better_step,
            "best_predicted": self.best_predicted,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
