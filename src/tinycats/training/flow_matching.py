"""Training the generator: flow matching with x-prediction and a v-loss.

t=0 is noise e, t=1 is the picture x, z = t x + (1 - t) e, and the velocity is v = x - e = (x - z) / (1 - t). The network predicts
x; the loss is the squared error of the velocity that follows from it (Li & He 2025, JiT; Lipman et al. 2023 for the path).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tinycats.data.augment import Level, augment
from tinycats.data.batches import batch_indices
from tinycats.data.processed import Split
from tinycats.devices import autocast
from tinycats.models.sampler import SamplerSettings, initial_noise, sample, to_uint8
from tinycats.models.tinydit import TinyDiT, one_hot_classes
from tinycats.randomness import generator_for
from tinycats.training.history import History
from tinycats.training.loop import Batch

MIN_TIME_LEFT = 0.05  # 1 - t is not taken smaller than this: the velocity has no bound at t=1
SAMPLES_PER_CLASS = 4  # in a sample grid; grids of different runs compare, so nothing about them is a parameter
GRID_SEED = 1
VALIDATION_TIMES = (0.1, 0.3, 0.5)
VALIDATION_PICTURES = 256
GRID_SAMPLER = SamplerSettings(method="euler", steps=10, guidance=2.0, guidance_low=0.1, guidance_high=0.9)


def sample_times(count: int, mean: float, std: float, generator: torch.Generator) -> Tensor:
    """Logit-normal times (Esser et al. 2024), float32 (count,) in (0, 1)."""
    return torch.sigmoid(mean + std * torch.randn(count, generator=generator))


def velocity_loss(prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of the velocity, from the predicted and the true picture (N, 3, H, W) and t (N,)."""
    time_left = (1 - t).clamp(min=MIN_TIME_LEFT)[:, None, None, None]
    return ((prediction - x) / time_left).square().mean()


def drop_classes(class_weights: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Give a random share of the rows of (N, K + 1) to the null class."""
    dropped = torch.rand(len(class_weights), generator=generator) < probability
    null = torch.zeros_like(class_weights)
    null[:, -1] = 1
    return torch.where(dropped[:, None], null, class_weights)


@dataclass
class FlowMatchingTask:
    """`val` is what the averaged weights are validated on, with the same noise each time."""

    name: str
    model: TinyDiT
    train: Split
    val: Split
    seed: int
    batch_size: int
    steps: int
    label_dropout: float
    t_mean: float
    t_std: float
    augmentation: Level
    mirror: bool
    sample_every: int
    device: torch.device
    dtype: torch.dtype
    error: float | None = None  # of the last validation

    def batch(self, step: int) -> Batch:
        indices = batch_indices(self.seed, step, self.batch_size, len(self.train.labels))
        generator = generator_for(self.seed, "flow", step)
        pixels = torch.from_numpy(self.train.images[indices.numpy()]).permute(0, 3, 1, 2).float() / 255
        x = 2 * augment(pixels, self.augmentation, generator, self.mirror) - 1
        class_weights = one_hot_classes(self.train.labels[indices.numpy()].tolist(), self.model.config.num_classes)
        return {
            "indices": indices,
            "x": x,
            "noise": torch.randn(x.shape, generator=generator),
            "t": sample_times(len(x), self.t_mean, self.t_std, generator),
            "class_weights": drop_classes(class_weights, self.label_dropout, generator),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        x, t = batch["x"], batch["t"]
        mix = t[:, None, None, None]
        z = mix * x + (1 - mix) * batch["noise"]
        return velocity_loss(model(z, t, torch.zeros_like(t), batch["class_weights"]), x, t)

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        if done % self.sample_every == 0 or done == self.steps:
            assert isinstance(averaged, TinyDiT)
            errors = self.validation_errors(averaged)
            self.error = float(np.mean(errors))
            named = {f"val_x_mse_{round(100 * t)}": error for t, error in zip(VALIDATION_TIMES, errors, strict=True)}
            history.log(done, named)  # in hundredths: a dot would be a path to Vega
            history.log_image(done, f"samples_{done:07d}.png", self.sample_grid(averaged))
        return False

    @torch.inference_mode()
    def validation_errors(self, model: TinyDiT, batch_size: int = 64) -> list[float]:
        """Mean squared error of the predicted picture, in [-1, 1], at each of VALIDATION_TIMES."""
        model.eval()
        chosen = np.linspace(0, len(self.val.labels) - 1, min(len(self.val.labels), VALIDATION_PICTURES)).astype(int)
        squares = torch.zeros(len(VALIDATION_TIMES), dtype=torch.float64)
        for start in range(0, len(chosen), batch_size):
            rows = chosen[start : start + batch_size]
            x = 2 * (torch.from_numpy(self.val.images[rows]).permute(0, 3, 1, 2).float() / 255) - 1
            noise = torch.randn(x.shape, generator=generator_for(self.seed, "validation", start))
            class_weights = one_hot_classes(self.val.labels[rows].tolist(), model.config.num_classes).to(self.device)
            for number, time in enumerate(VALIDATION_TIMES):
                z = (time * x + (1 - time) * noise).to(self.device)
                t = torch.full((len(rows),), time, device=self.device)
                with autocast(self.device, self.dtype):
                    prediction = model(z, t, torch.zeros_like(t), class_weights)
                squares[number] += (prediction.float().cpu() - x).square().mean(dim=(1, 2, 3)).sum().double()
        return (squares / len(chosen)).tolist()

    def sample_grid(self, model: TinyDiT) -> Image.Image:
        return as_grid(sample_classes(model, GRID_SAMPLER, self.device, self.dtype))

    def state_dict(self) -> dict[str, Any]:
        return {"error": self.error}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.error = state["error"]


def sample_classes(model: TinyDiT, settings: SamplerSettings, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pictures in [-1, 1], (classes x SAMPLES_PER_CLASS, 3, S, S), class by class: from the same noise for each, at any time."""
    model.eval()
    num_classes = model.config.num_classes
    labels = [label for label in range(num_classes) for _ in range(SAMPLES_PER_CLASS)]
    noise = initial_noise(GRID_SEED, range(SAMPLES_PER_CLASS), model.config.image_size).repeat(num_classes, 1, 1, 1)
    with autocast(device, dtype):
        return sample(model, noise.to(device), one_hot_classes(labels, num_classes).to(device), settings)


def as_grid(pictures: Tensor) -> Image.Image:
    """What sample_classes makes, as one picture with a row a class."""
    return tile(to_uint8(pictures.cpu()).numpy(), SAMPLES_PER_CLASS)


def tile(images: np.ndarray | Sequence[np.ndarray], columns: int) -> Image.Image:
    """uint8 images (N, S, S, 3), N a multiple of `columns` -> one picture, row by row."""
    stacked = np.asarray(images)
    n, height, width, _ = stacked.shape
    rows = stacked.reshape(n // columns, columns, height, width, 3).transpose(0, 2, 1, 3, 4)
    return Image.fromarray(rows.reshape(n // columns * height, columns * width, 3))
