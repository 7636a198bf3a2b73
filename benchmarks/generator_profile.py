"""Where the time of a training step of TinyDiT goes: its parts, and the operators of forward and backward.

    python benchmarks/generator_profile.py

Writes benchmarks/results/generator_profile.json.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.profiler import ProfilerActivity, profile

from generator_step import CLASSES, SIZES
from machine import machine, write_tables
from tinycats.data.processed import Split
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.devices import resolve_device

DEVICE = resolve_device("auto")
DTYPE = resolve_dtype("auto", DEVICE)
RUNS = 15
GROUPS = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "linear"),
    "copies: casts between fp32 and bf16, transposed and joined tensors": ("copy_", "_to_copy", "cat", "clone", "fill_", "zero_"),
    "elementwise: modulation, gates, norms, residuals": ("mul", "mul_", "add", "add_", "sub", "div", "neg", "pow", "rsqrt"),
    "sums: gradients of biases and modulation, means of norms": ("sum", "mean"),
    "GELU, SiLU and softmax": (
        "gelu", "gelu_backward", "silu", "silu_backward", "_softmax", "_softmax_backward_data",
    ),
}  # fmt: skip


def milliseconds(run: Callable[[], object]) -> float:
    run()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return 1000 * median(times)


def parts(size: dict[str, Any], batch_size: int) -> tuple[dict[str, float], dict[str, float]]:
    """Median milliseconds of the parts of a step, and shares of the operators' own time in forward and backward."""
    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=[str(label) for label in range(CLASSES)], **size)).to(DEVICE)
    images = np.random.default_rng(0).integers(0, 256, (256, size["image_size"], size["image_size"], 3), np.uint8)
    split = Split(images, np.arange(256) % CLASSES, [])
    task = FlowMatchingTask(
        name="profile", model=model, train=split, val=split, seed=0, batch_size=batch_size, steps=1, label_dropout=0.1,
        t_mean=-0.8, t_std=0.8, augmentation="basic", mirror=True, sample_every=2, device=DEVICE, dtype=DTYPE,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=True)
    batch = {name: tensor.to(DEVICE) for name, tensor in task.batch(0).items()}

    def forward() -> torch.Tensor:
        with autocast(DEVICE, DTYPE):
            return task.loss(model, batch)

    def forward_backward() -> None:
        forward().backward()

    forward_only, both = milliseconds(forward), milliseconds(forward_backward)
    medians = {
        "making the batch (pictures, noise, times)": milliseconds(lambda: task.batch(1)),
        "forward": forward_only,
        "backward": both - forward_only,
        "gradient clipping": milliseconds(lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)),
        "AdamW": milliseconds(optimizer.step),
        "EMA": milliseconds(lambda: average.update_parameters(model)),
    }
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for _ in range(5):
            forward_backward()
    own: dict[str, float] = defaultdict(float)
    group_of = {f"aten::{operator}": group for group, operators in GROUPS.items() for operator in operators}
    for event in profiler.key_averages():
        own[group_of.get(event.key, "all else: autograd, views, allocation")] += event.self_cpu_time_total
    return medians, {group: share / sum(own.values()) for group, share in own.items()}


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    before = machine()
    tables = []
    for name, batch_size in (("nano", 16), ("small", 8)):
        medians, shares = parts(SIZES[name], batch_size)
        whole = sum(medians.values())
        head = [f"dit={name}, batch {batch_size}, {DTYPE}".replace("torch.", ""), "ms", "share"]
        tables.append(
            {"head": head, "rows": [[part, f"{ms:.0f}", f"{ms / whole:.0%}"] for part, ms in medians.items()]}
        )
        ordered = sorted(shares.items(), key=lambda item: -item[1])
        rows = [[group, f"{share:.0%}"] for group, share in ordered]
        tables.append(
            {"head": [f"forward and backward of dit={name}: operators", "share of their own time"], "rows": rows}
        )
    write_tables("generator_profile", before, "Medians of the parts on their own; operators by torch.profiler.", tables)


if __name__ == "__main__":
    main()
