"""From noise to pictures: integrates the probability flow from t=0 to t=1, with classifier-free guidance."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from tinycats.errors import UserError
from tinycats.randomness import generator_for

Denoiser = Callable[
    [Tensor, Tensor, Tensor, Tensor], Tensor
]  # (x, t, h, class_weights) -> predicted picture, as TinyDiT


@dataclass(frozen=True)
class SamplerSettings:
    """`guidance` is w of x_null + w (x_class - x_null), applied where guidance_low <= t < guidance_high; 1 is none.

    `few_step`: the model is told the length of each step as h, as a distilled student wants it; else h is 0.
    """

    method: Literal["euler", "heun"]
    steps: int
    guidance: float
    guidance_low: float
    guidance_high: float
    few_step: bool = False


def few_step_settings(steps: int) -> SamplerSettings:
    """How a distilled student is sampled: one evaluation a step, guidance is baked in."""
    return SamplerSettings("euler", steps, guidance=1, guidance_low=0, guidance_high=1, few_step=True)


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
    """Return pictures, float32 (N, 3, S, S), clipped to [-1, 1].

    noise (N, 3, S, S) is the state at t=0; class_weights (N, K + 1) as TinyDiT takes them. Heun's last step is an Euler
    step, since the velocity (x - z) / (1 - t) has no value at t=1. `on_step(i, z)` sees the state after step i.
    """
    z = noise
    times = torch.linspace(0, 1, settings.steps + 1, dtype=torch.float64).tolist()
    for i, (t, t_next) in enumerate(pairwise(times)):
        h = t_next - t if settings.few_step else 0.0
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
    if not guided:
        return model(z, z.new_full((n,), t), z.new_full((n,), h), class_weights)
    null = torch.zeros_like(class_weights)
    null[:, -1] = 1
    both = model(
        torch.cat([z, z]), z.new_full((2 * n,), t), z.new_full((2 * n,), h), torch.cat([class_weights, null])
    )  # (2N, 3, S, S)
    x_class, x_null = both.chunk(2)
    return x_null + settings.guidance * (x_class - x_null)


def to_uint8(pictures: Tensor) -> Tensor:
    """Float (N, 3, H, W) in [-1, 1] -> uint8 (N, H, W, 3). Raises UserError on NaN, which would pass as black."""
    if not pictures.isfinite().all():
        raise UserError("the generator gives values that are not finite: train it again")
    return ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1)
