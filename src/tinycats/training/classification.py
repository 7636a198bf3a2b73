"""Training a classifier: the task that the breed classifier and the evaluator share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tinycats.data.augment import Level, augment, cut, mix
from tinycats.data.batches import batch_indices
from tinycats.data.processed import Split
from tinycats.devices import autocast
from tinycats.randomness import derive_seed, generator_for
from tinycats.training.history import History
from tinycats.training.loop import Batch


@dataclass
class ClassificationTask:
    """Cross-entropy on augmented pictures; keeps the weights with the best validation accuracy, of equal ones the latest.

    `model` maps float pixels (B, 3, H, W) in [0, 1] to (logits (B, K), anything). `mixup` is alpha of MixUp's beta
    distribution, 0 for none; a share `cutmix` of the batches gets CutMix instead. `patience` is the number of epochs without
    a better validation accuracy after which training stops, None for never. The pictures of `train` may be larger than those
    of `val`, which have the size that the network sees; the first share `small_first` of the steps trains at two thirds of it
    (progressive resizing).
    """

    name: str
    model: nn.Module
    train: Split
    val: Split
    classes: list[str]
    seed: int
    batch_size: int
    steps_per_epoch: int
    steps: int
    augmentation: Level
    mirror: bool
    min_crop: float
    mixup: float
    cutmix: float
    label_smoothing: float
    patience: int | None
    device: torch.device
    dtype: torch.dtype
    small_first: float = 0.0
    error: float | None = None  # of the last validation: 1 - top-1
    best: dict[str, Tensor] = field(default_factory=dict)
    best_accuracy: float = -1.0
    best_step: int = 0  # of the weights that are kept
    better_step: int = 0  # of the last validation that was better than all before it
    best_predicted: Tensor = field(default_factory=lambda: torch.empty(0))  # of the validation pictures

    def batch(self, step: int) -> Batch:
        indices = batch_indices(self.seed, step, self.batch_size, len(self.train.labels))
        pixels = _pixels(self.train.images[indices.numpy()])
        generator = generator_for(self.seed, "augment", step)
        size = self.val.images.shape[1]
        if step < self.small_first * self.steps:
            size = round(size * 2 / 3 / 8) * 8
        pixels = augment(pixels, self.augmentation, generator, self.mirror, self.min_crop, size)
        targets = F.one_hot(torch.from_numpy(self.train.labels[indices.numpy()]), len(self.classes)).float()
        rng = np.random.default_rng(derive_seed(self.seed, "mixup", step))
        if rng.random() < self.cutmix:
            pixels, targets = cut(pixels, targets, rng)
        elif self.mixup > 0:
            pixels, targets = mix(pixels, targets, self.mixup, rng)
        return {"indices": indices, "pixels": pixels, "targets": targets}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        logits, _ = model(batch["pixels"].contiguous(memory_format=torch.channels_last))
        return F.cross_entropy(logits.float(), batch["targets"], label_smoothing=self.label_smoothing)

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        if done % self.steps_per_epoch and done != self.steps:
            return False
        ranked = self.ranked_classes(averaged)
        right = ranked == torch.from_numpy(self.val.labels)[:, None]
        top1, top5 = float(right[:, 0].float().mean()), float(right[:, :5].any(dim=1).float().mean())
        history.log(done, {"val_top1": top1, "val_top5": top5})
        self.error = 1 - top1
        if top1 > self.best_accuracy:
            self.better_step = done
        if top1 >= self.best_accuracy:  # on few pictures many epochs are equal, and the learning rate has fallen since
            self.best_accuracy, self.best_step = top1, done
            self.best = {name: tensor.detach().clone() for name, tensor in averaged.state_dict().items()}
            self.best_predicted = ranked[:, 0]
        epochs_since = (done - self.better_step) / self.steps_per_epoch
        stop = self.patience is not None and epochs_since >= self.patience
        if stop or done == self.steps:
            self.log_confusion(done, history)
        return stop

    @torch.inference_mode()
    def ranked_classes(self, model: nn.Module, batch_size: int = 128) -> Tensor:
        """The classes of each validation picture, the most probable first: int64 (N, K)."""
        model.eval()
        ranked = []
        for start in range(0, len(self.val.labels), batch_size):
            pixels = _pixels(self.val.images[start : start + batch_size]).to(self.device)
            with autocast(self.device, self.dtype):
                logits, _ = model(pixels.contiguous(memory_format=torch.channels_last))
            ranked.append(logits.float().argsort(dim=1, descending=True, stable=True).cpu())
        return torch.cat(ranked)

    def log_confusion(self, done: int, history: History) -> None:
        """Log the confusion matrix of the best weights on the validation split as a picture."""
        from tinycats.evaluation.figures import confusion_figure, to_image  # matplotlib loads slowly

        history.log_image(
            done,
            "confusion_val.png",
            to_image(confusion_figure(self.val.labels, self.best_predicted.numpy(), self.classes)),
        )

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_accuracy": self.best_accuracy,
            "best_step": self.best_step,
            "better_step": self.better_step,
            "best_predicted": self.best_predicted,
            "error": self.error,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)


def _pixels(images: np.ndarray) -> Tensor:
    """uint8 (N, H, W, 3) -> float (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 255
