"""A few-step student for browser tests, where the models that were published have none.

    python -m tests.web.tiny_student MODELS

adds to MODELS (as frontend/public/models is) an untrained TinyDiT with random weights, its recorded run, and both to
manifest.json.
"""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tinycats.export.onnx_export import export_generator
from tinycats.export.quantize import quantize_generator
from tinycats.files import write_json
from tinycats.models.sampler import SamplerSettings, initial_noise
from tinycats.models.tinydit import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.publishing.manifest import describe_generator, list_files

STEPS = 4
SEED = 11
GOLDEN_NAME = "golden_fast.json"


@torch.inference_mode()
def states(model: TinyDiT, noise: Tensor, class_weights: Tensor, steps: int) -> Tensor:
    """The state after every step, float32 (steps, N, 3, S, S); the model is told the length of the step."""
    times = torch.linspace(0, 1, steps + 1, dtype=torch.float64).tolist()
    z, found = noise, []
    for t, t_next in zip(times[:-1], times[1:], strict=True):
        n = len(z)
        predicted = model(z, z.new_full((n,), t), z.new_full((n,), t_next - t), class_weights)
        z = z + (t_next - t) * ((predicted - z) / (1 - t))
        found.append(z)
    return torch.stack(found)


def main(models: Path) -> None:
    manifest = json.loads((models / "manifest.json").read_text())
    if "generator_fast" in manifest:
        return
    teacher = manifest["generator"]
    size = teacher["image_size"]
    torch.manual_seed(SEED)
    shape = {"image_size": size, "patch_size": 8, "width": 32, "depth": 1, "heads": 1}
    model = TinyDiT(TinyDiTConfig(classes=teacher["classes"], **shape)).eval()
    for parameter in model.parameters():  # those that begin at zero would answer the same to everything
        torch.nn.init.normal_(parameter, std=0.3)
    paths = {"fp32": "onnx/generator_fast.onnx", "int8": "onnx_int8/generator_fast.onnx"}
    export_generator(model, models / paths["fp32"], opset=20)
    quantize_generator(models / paths["fp32"], models / paths["int8"])
    noise = initial_noise(SEED, range(2), size)
    weights = one_hot_classes([0, 0], model.config.num_classes)
    weights[1, :2] = 0.5
    sampler: dict[str, Any] = {**asdict(SamplerSettings("euler", STEPS, 1.0, 0.0, 1.0)), "few_step": True}
    tensors = {"noise": noise, "class_weights": weights, "states": states(model, noise, weights, STEPS)}
    golden = {"sampler": sampler, "tensors": {name: _encode(tensor.numpy()) for name, tensor in tensors.items()}}
    write_json(models / GOLDEN_NAME, golden)
    if manifest["schema_version"] == 1:
        sampler_of_teacher = {**manifest.pop("sampler"), "few_step": False}
        manifest |= {
            "schema_version": 2,
            "generator": {**teacher, "sampler": sampler_of_teacher, "golden": manifest.pop("golden")},
        }
    described = {**describe_generator(model.config, models), "files": paths}
    manifest["generator_fast"] = {
        **described,
        "time_convention": {"noise": 0, "data": 1, "h": "step"},
        "sampler": sampler,
        "golden": GOLDEN_NAME,
    }
    write_json(models / "manifest.json", {**manifest, "files": list_files(models)})


def _encode(array: np.ndarray) -> dict[str, Any]:
    content = array.astype("<f4").tobytes()
    return {"shape": list(array.shape), "dtype": "float32", "base64": base64.b64encode(content).decode()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
