"""Training the generator: flow matching with x-prediction and a v-loss.

t=0 is noise e, t=1 is the image x, z = t x + (1 - t) e, and the velocity is v = x - e = (x - z) / (1 - t). The network predicts
x; the loss is the squared error of the velocity that follows from it (Li & He 2025, JiT; Lipman et al. 2023 for the path).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from tinycats.data.augment import augment
from tinycats.data.feed import Images
from tinycats.data.pixels import as_tensor, columns, to_float
from tinycats.data.processed import Split
from tinycats.data.randomness import RowRandom, generator_for
from tinycats.generator.network import TinyDiT, null_classes, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, to_uint8
from tinycats.learning.interface import Batch
from tinycats.learning.precision import autocast
from tinycats.learning.task import ImageTask
from tinycats.runtime.history import History
from tinycats.runtime.params import GeneratorTrainingParams, SamplerSettings, TrainParams

MIN_TIME_LEFT = 0.05  # 1 - t is not taken smaller than this: the velocity has no bound at t=1
SAMPLES_PER_CLASS = 4  # in a sample grid; grids of different runs compare, so nothing about them is a parameter
GRID_SEED = 1
GRID_CHUNK = 64  # images of a grid that are sampled at once, fewer where memory is short
VALIDATION_TIMES = (0.1, 0.3, 0.5)
VALIDATION_IMAGES = 256
VALIDATION_BATCH = 64
GRID_SAMPLER = SamplerSettings(method="euler", steps=10, guidance=2.0, guidance_low=0.1, guidance_high=0.9)


def sample_times(random: RowRandom, mean: float, std: float) -> Tensor:
    """Logit-normal times (Esser et al. 2024), float32 (rows,) in (0, 1)."""
    return torch.sigmoid(mean + std * random.normal())


def velocity_loss(prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
    """Mean squared error of the velocity, from the predicted and the true image (N, 3, H, W) and t (N,)."""
    time_left = (1 - t).clamp(min=MIN_TIME_LEFT)
    return ((prediction - x) / columns(time_left)).square().mean()


def drop_classes(class_weights: Tensor, probability: float, random: RowRandom) -> Tensor:
    """Give a random share of the rows of (N, K + 1) to the null class."""
    dropped = random.uniform() < probability
    return torch.where(dropped[:, None], null_classes(class_weights), class_weights)


@dataclass
class GeneratorTask(ImageTask):
    """Of so many steps, validated every `sample_every` of them, or at the end alone."""

    training: GeneratorTrainingParams
    sample_every: int | None

    @property
    def steps(self) -> int:
        return self.training.steps

    @property
    def warmup_steps(self) -> int:
        return self.training.warmup_steps

    def validates(self, done: int) -> bool:
        return done == self.steps or (self.sample_every is not None and done % self.sample_every == 0)


@dataclass
class FlowMatchingTask(GeneratorTask):
    """`val` is what the averaged weights are validated on, with the same noise each time."""

    model: TinyDiT
    training: TrainParams
    val: Split

    def batch(self, step: int, rows: range, images: Images) -> Batch:
        training = self.training
        random = RowRandom(self.seed, "flow", step, training.batch_size, rows, self.device)
        x = 2 * augment(to_float(images.pixels), training.augmentation, random, self.mirror) - 1
        class_weights = one_hot_classes(images.labels, self.model.config.num_classes)
        return {
            "x": x,
            "noise": random.noise(*x.shape[1:]),
            "t": sample_times(random, training.t_mean, training.t_std),
            "class_weights": drop_classes(class_weights, training.label_dropout, random),
        }

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        x, t = batch["x"], batch["t"]
        mix = columns(t)
        z = mix * x + (1 - mix) * batch["noise"]
        return velocity_loss(model(z, t, torch.zeros_like(t), batch["class_weights"]), x, t)

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        assert isinstance(averaged, TinyDiT)
        errors = self.validation_errors(averaged)
        named = {f"val_x_mse_{round(100 * t)}": error for t, error in zip(VALIDATION_TIMES, errors, strict=True)}
        history.log(done, named)  # in hundredths: a dot would be a path to Vega
        grid = sample_classes(averaged, GRID_SAMPLER, self.device, self.dtype)
        history.log_image(done, f"samples_{done:07d}.png", as_grid(grid))
        return False

    @torch.inference_mode()
    def validation_errors(self, model: TinyDiT) -> list[float]:
        """Mean squared error of the predicted image, in [-1, 1], at each of VALIDATION_TIMES."""
        model.eval()
        chosen = np.linspace(0, len(self.val.labels) - 1, min(len(self.val.labels), VALIDATION_IMAGES)).astype(int)
        squares = torch.zeros(len(VALIDATION_TIMES), dtype=torch.float64)
        for start in range(0, len(chosen), VALIDATION_BATCH):
            rows = chosen[start : start + VALIDATION_BATCH]
            x = 2 * to_float(as_tensor(self.val.images[rows])) - 1
            noise = torch.randn(x.shape, generator=generator_for(self.seed, "validation", start))
            class_weights = one_hot_classes(self.val.labels[rows].tolist(), model.config.num_classes).to(self.device)
            for number, time in enumerate(VALIDATION_TIMES):
                z = (time * x + (1 - time) * noise).to(self.device)
                t = torch.full((len(rows),), time, device=self.device)
                with autocast(self.device, self.dtype):
                    prediction = model(z, t, torch.zeros_like(t), class_weights)
                squares[number] += (prediction.float().cpu() - x).square().mean(dim=(1, 2, 3)).sum().double()
        return (squares / len(chosen)).tolist()


def sample_classes(
    model: TinyDiT, settings: SamplerSettings, device: torch.device, dtype: torch.dtype, chunk: int = GRID_CHUNK
) -> Tensor:
    """Images in [-1, 1], (classes x SAMPLES_PER_CLASS, 3, S, S), class by class: from the same noise for each, at any time.

    They are made `chunk` at a time, and half as many where memory does not suffice.
    """
    model.eval()
    num_classes = model.config.num_classes
    labels = [label for label in range(num_classes) for _ in range(SAMPLES_PER_CLASS)]
    noise = initial_noise(GRID_SEED, range(SAMPLES_PER_CLASS), model.config.image_size).repeat(num_classes, 1, 1, 1)
    class_weights = one_hot_classes(labels, num_classes)
    try:
        with autocast(device, dtype):
            made = [
                sample(model, part.to(device), weights.to(device), settings).cpu()
                for part, weights in zip(noise.split(chunk), class_weights.split(chunk), strict=True)
            ]
    except torch.OutOfMemoryError:
        if chunk == 1:
            raise
    else:
        return torch.cat(made)
    return sample_classes(model, settings, device, dtype, max(chunk // 2, 1))


def as_grid(images: Tensor) -> Image.Image:
    """What sample_classes makes, as one image with a row a class."""
    from tinycats.figures.sheets import tile  # matplotlib and torchvision load slowly

    return tile(to_uint8(images).numpy(), SAMPLES_PER_CLASS)
