"""One run of the sampler through torch, step by step, for other implementations to be tested against.

A golden file (golden.json; golden_student.json of the student) holds whether the model is a student (`few_step`), the
sampler's settings, the seed, the times t_0 .. t_steps and the tensors `noise` [N, 3, S, S], `class_weights` [N, K + 1] and
`states` [steps, N, 3, S, S]: the state after every step, not clipped. A tensor is {"shape", "dtype": "float32", "base64":
little-endian bytes}. Image 0 is of one class, image 1 half of that and half of the next.
"""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.sampler import Denoiser, initial_noise, sample
from tinycats.runtime.params import SamplerSettings


def golden_name(generator: str) -> str:
    """The file of a generator's golden run: golden.json for "generator", golden_student.json for "student"."""
    return "golden.json" if generator == "generator" else f"golden_{generator}.json"


def golden_run(model: TinyDiT, settings: SamplerSettings, seed: int) -> dict[str, Any]:
    """The content of a golden file for a model in fp32 on the CPU."""
    noise = initial_noise(seed, range(2), model.config.image_size)
    class_weights = one_hot_classes([0, 0], model.config.num_classes)
    class_weights[1, :2] = 0.5
    return {
        "about": "the sampler's state after every step; t=0 is noise, t=1 is data; see tinycats/export/golden.py",
        "classes": model.config.classes,
        "few_step": model.config.few_step,
        "sampler": settings.model_dump(),
        "seed": seed,
        "times": torch.linspace(0, 1, settings.steps + 1, dtype=torch.float64).tolist(),
        "tensors": {
            "noise": _encode(noise),
            "class_weights": _encode(class_weights),
            "states": _encode(sampler_states(model, noise, class_weights, settings)),
        },
    }


def golden_difference(golden: dict[str, Any], model: Denoiser) -> dict[str, float]:
    """How far another implementation of the model is from the states of a golden run, step by step."""
    tensors = {name: torch.from_numpy(decode_tensor(tensor)) for name, tensor in golden["tensors"].items()}
    settings = SamplerSettings.model_validate(golden["sampler"])
    difference = sampler_states(model, tensors["noise"], tensors["class_weights"], settings) - tensors["states"]
    return {
        "max_abs_diff": float(difference.abs().max()),
        "mean_abs_diff": float(difference.double().abs().mean()),
        "n": len(tensors["noise"]),
        "steps": settings.steps,
    }


def decode_tensor(tensor: dict[str, Any]) -> np.ndarray:
    """A float32 array from a tensor of a golden file."""
    return np.frombuffer(base64.b64decode(tensor["base64"]), dtype="<f4").reshape(tensor["shape"]).copy()


def sampler_states(model: Denoiser, noise: Tensor, class_weights: Tensor, settings: SamplerSettings) -> Tensor:
    """The state after every step, float32 (steps, N, 3, S, S)."""
    states: list[Tensor] = []
    sample(model, noise, class_weights, settings, on_step=lambda _, z: states.append(z))
    return torch.stack(states)


def _encode(tensor: Tensor) -> dict[str, Any]:
    content = tensor.numpy().astype("<f4").tobytes()
    return {"shape": list(tensor.shape), "dtype": "float32", "base64": base64.b64encode(content).decode()}
