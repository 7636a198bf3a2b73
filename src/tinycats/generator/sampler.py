"""From noise to images: integrates the probability flow from t=0 to t=1, with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from tinycats.data.randomness import generator_for
from tinycats.generator.network import null_classes
from tinycats.learning.pretrained import read_validated
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import write_json
from tinycats.runtime.params import SamplerParams, SamplerSettings

SUFFIX = ".sampler.json"  # of the file next to a model directory that holds its sampler's settings


class DenoiserConfig(Protocol):
    @property
    def few_step(self) -> bool: ...


class Denoiser(Protocol):
    """A generator in torch or ONNX: predicts the clean image (N, 3, S, S) from x (N, 3, S, S), t and h (N,), class weights."""

    @property
    def config(self) -> DenoiserConfig: ...

    def __call__(self, x: Tensor, t: Tensor, h: Tensor, class_weights: Tensor, /) -> Tensor: ...


def student_sampler(steps: int) -> SamplerSettings:
    """How a student is sampled: one evaluation a step, since guidance is baked in."""
    return SamplerSettings(method="euler", steps=steps, guidance=1.0, guidance_low=0.0, guidance_high=1.0)


def teacher_sampler(sampler: SamplerParams) -> SamplerSettings:
    return SamplerSettings(**sampler.model_dump(exclude={"student_steps"}))


def save_sampler(settings: SamplerSettings, model: Path) -> None:
    """Write how the generator in the directory `model` is sampled, to MODEL.sampler.json next to it."""
    write_json(_sampler_path(model), settings.model_dump())


def load_sampler(model: Path) -> SamplerSettings:
    """How the generator in the directory `model` is sampled. Raises UserError where the file next to it is missing or wrong."""
    if_missing = "it holds the sampler's settings: `dvc repro evaluate` writes it"
    return read_validated(_sampler_path(model), SamplerSettings, if_missing)


def _sampler_path(model: Path) -> Path:
    return model.with_name(model.name + SUFFIX)


def initial_noise(seed: int, indices: Sequence[int], image_size: int) -> Tensor:
    """Standard normal noise, float32 (N, 3, image_size, image_size); each picture depends on (seed, index) alone."""
    shape = (3, image_size, image_size)
    return torch.stack([torch.randn(shape, generator=generator_for(seed, "noise", index)) for index in indices])


@torch.inference_mode()
def sample(
    model: Denoiser,
    noise: Tensor,
    class_weights: Tensor,
    settings: SamplerSettings,
    on_step: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Return images, float32 (N, 3, S, S), clipped to [-1, 1].

    noise (N, 3, S, S) is the state at t=0; class_weights (N, K + 1) as TinyDiT takes them. A student is told the length of each
    step as h and has guidance baked in; for other models h is 0. Heun's last step is an Euler step, since the velocity
    (x - z) / (1 - t) has no value at t=1. `on_step(i, z)` sees the state after step i.
    """
    z = noise
    times = torch.linspace(0, 1, settings.steps + 1, dtype=torch.float64).tolist()
    for i, (t, t_next) in enumerate(pairwise(times)):
        h = t_next - t if model.config.few_step else 0.0
        velocity = (_predict(model, z, t, h, class_weights, settings) - z) / (1 - t)
        z_next = z + (t_next - t) * velocity
        if settings.method == "heun" and i + 1 < settings.steps:
            velocity_next = (_predict(model, z_next, t_next, h, class_weights, settings) - z_next) / (1 - t_next)
            z_next = z + (t_next - t) * (velocity + velocity_next) / 2
        z = z_next
        if on_step is not None:
            on_step(i, z)
    return z.clamp(-1, 1)


def _predict(
    model: Denoiser, z: Tensor, t: float, h: float, class_weights: Tensor, settings: SamplerSettings
) -> Tensor:
    n = len(z)
    guided = settings.guidance != 1 and settings.guidance_low <= t < settings.guidance_high
    if model.config.few_step or not guided:
        return model(z, z.new_full((n,), t), z.new_full((n,), h), class_weights)
    weights = torch.cat([class_weights, null_classes(class_weights)])
    both = model(torch.cat([z, z]), z.new_full((2 * n,), t), z.new_full((2 * n,), h), weights)  # (2N, 3, S, S)
    x_class, x_null = both.chunk(2)
    return x_null + settings.guidance * (x_class - x_null)


def to_uint8(pictures: Tensor) -> Tensor:
    """Float (N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3). Raises UserError on NaN, which would pass as black."""
    if not pictures.isfinite().all():
        raise UserError("the generator produces values that are not finite: train it again")
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
