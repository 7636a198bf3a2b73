"""A training step of TinyDiT in the pipeline's loop, beside diffusers' DiT of the same size in a minimal loop.

    pip install -e '.[benchmarks]'
    python benchmarks/generator_step.py

Every variant runs in a process of its own, so that its peak memory is its own. Writes benchmarks/results/generator_step.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

import tinycats.runtime.vision  # noqa: F401  # diffusers needs torchvision, which needs this beside a CPU-only torch
from machine import machine, write_tables
from tinycats.data.processed import Split
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning import loop
from tinycats.learning.loop import LoopSettings, train
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.history import History
from tinycats.runtime.params import Precision
from tinycats.runtime.run_directory import RunDirectory

CLASSES = 13
SIZES: dict[str, dict[str, Any]] = {  # conf/dit
    "nano": {"image_size": 64, "patch_size": 8, "width": 192, "depth": 6, "heads": 3},
    "small": {"image_size": 128, "patch_size": 8, "width": 384, "depth": 12, "heads": 6},
}
WARM_UP = 3


class TimedTask(FlowMatchingTask):
    """Notes when each step ended."""

    ended: list[float]

    def after_step(self, done: int, averaged: nn.Module, history: History) -> bool:
        self.ended.append(time.perf_counter())
        return False


def ours(
    size: dict[str, Any],
    batch: int,
    steps: int,
    precision: Precision,
    compile: bool,
    checkpointing: bool,
    keep: bool = True,
) -> list[float]:
    """`keep`: freed memory, as the loop does (tinycats.runtime.memory)."""
    if not keep:
        loop.keep_freed_memory = lambda: None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = TinyDiT(TinyDiTConfig(classes=[str(label) for label in range(CLASSES)], **size))
    model.gradient_checkpointing = checkpointing
    images = np.random.default_rng(0).integers(0, 256, (256, size["image_size"], size["image_size"], 3), np.uint8)
    split = Split(images, np.arange(256) % CLASSES, [])
    task = TimedTask(
        name="step", model=model, train=split, val=split, seed=0, batch_size=batch, steps=steps,
        label_dropout=0.1, t_mean=-0.8, t_std=0.8, augmentation="basic", mirror=True, sample_every=steps + 1, device=device,
        dtype=resolve_dtype(precision, device),
    )  # fmt: skip
    task.ended = []
    settings = LoopSettings(
        steps=steps, batch_size=batch, accumulation=1, lr=1e-4, warmup_steps=0, schedule="constant", beta2=0.95,
        weight_decay=0.0, clip_norm=1.0, ema_decay=0.999, guard_steps=0, precision=precision, compile=compile, log_every=25,
        checkpoint_every_s=1e9, smoke=False,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as scratch:
        run = RunDirectory(Path(scratch) / "run")
        train(task, settings, device, run, History(Path(scratch) / "live", run.path / "images"))
    return list(np.diff(task.ended)[WARM_UP - 1 :])


def diffusers(size: dict[str, Any], batch: int, steps: int, precision: Precision) -> list[float]:
    from diffusers import DiTTransformer2DModel

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = DiTTransformer2DModel(
        num_attention_heads=size["heads"], attention_head_dim=size["width"] // size["heads"], in_channels=3, out_channels=3,
        num_layers=size["depth"], sample_size=size["image_size"], patch_size=size["patch_size"], num_embeds_ada_norm=CLASSES,
    ).to(device)  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x = torch.rand(batch, 3, size["image_size"], size["image_size"], device=device) * 2 - 1
    labels = torch.arange(batch, device=device) % CLASSES
    times = []
    for _ in range(steps):
        start = time.perf_counter()
        noise, t = torch.randn_like(x), torch.rand(batch, device=device)
        mix = t[:, None, None, None]
        with autocast(device, resolve_dtype(precision, device)):
            velocity = model(mix * x + (1 - mix) * noise, timestep=(1000 * t).long(), class_labels=labels).sample
        loss = (velocity.float() - (x - noise)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter() - start)
    return times[WARM_UP:]


def child(variant: dict[str, Any]) -> None:
    """Measure one variant; print JSON."""
    torch.manual_seed(0)
    peer = variant.pop("peer")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = (diffusers if peer else ours)(**variant)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if torch.cuda.is_available():
        memory = torch.cuda.max_memory_allocated() // 1024
    print(json.dumps({"seconds": median(times), "steps": len(times), "memory_mb": memory / 1024}))


def measure(**variant: Any) -> dict[str, Any]:
    command = [sys.executable, __file__, "--child", json.dumps(variant)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{variant}: {done.stderr[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(variant, result, flush=True)
    return result


def model_flops(size: dict[str, Any], batch: int) -> float:
    """Of a step: 6 for each weight of a matrix and token it meets, and 12 width tokens for attention in each block and token."""
    tokens = (size["image_size"] // size["patch_size"]) ** 2
    model = TinyDiT(TinyDiTConfig(classes=[str(label) for label in range(CLASSES)], **size))
    weights = sum(p.numel() for name, p in model.named_parameters() if name.startswith("blocks.") and p.ndim == 2)
    return batch * tokens * (6 * weights + 12 * size["depth"] * size["width"] * tokens)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=9, help="of each variant, the first three not counted")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    before = machine()
    tables = []
    for name, batch in (("nano", 16), ("small", 8)):
        size, rows, steps = SIZES[name], [], arguments.steps * (4 if name == "nano" else 1)
        reference = None
        for label, variant in {
            "diffusers, fp32": {"peer": True, "precision": "fp32"},
            "diffusers, bf16": {"peer": True, "precision": "bf16"},
            "ours, fp32": {"peer": False, "precision": "fp32", "compile": False, "checkpointing": False},
            "ours, bf16, freed memory not kept": {
                "peer": False,
                "precision": "bf16",
                "compile": False,
                "checkpointing": False,
                "keep": False,
            },
            "ours, bf16": {"peer": False, "precision": "bf16", "compile": False, "checkpointing": False},
            "ours, bf16, compiled": {"peer": False, "precision": "bf16", "compile": True, "checkpointing": False},
        }.items():
            result = measure(size=size, batch=batch, steps=steps, **variant)
            reference = reference or result["seconds"]
            speed = model_flops(size, batch) / result["seconds"] / 1e9
            rows.append([
                label, f"{1000 * result['seconds']:.0f}", f"{batch / result['seconds']:.1f}",
                f"{reference / result['seconds']:.2f}", f"{speed:.0f}",
            ])  # fmt: skip
        tables.append(
            {
                "head": [f"dit={name}, batch {batch}", "ms a step", "img/s", "times the first row", "model GFLOP/s"],
                "rows": rows,
            }
        )
    rows = []
    for batch in (8, 32):
        for compile in (False, True):
            for checkpointing in (False, True):
                result = measure(
                    size=SIZES["small"], batch=batch, steps=arguments.steps, peer=False, precision="bf16", compile=compile,
                    checkpointing=checkpointing,
                )  # fmt: skip
                rows.append([
                    str(batch), "on" if compile else "off", "on" if checkpointing else "off", f"{1000 * result['seconds']:.0f}",
                    f"{result['memory_mb']:.0f}",
                ])  # fmt: skip
    tables.append({
        "head": ["dit=small, bf16: batch", "compile", "gradient_checkpointing", "ms a step", "MB above the start"], "rows": rows,
    })  # fmt: skip
    notes = (
        "The pipeline's own loop (batches, clipping, fused AdamW, EMA, guard, status) beside diffusers' DiTTransformer2DModel "
        "of the same width, depth, heads and tokens in a loop of forward, backward and AdamW alone. Medians; every row is a "
        "process of its own."
    )
    if not torch.cuda.is_available():
        notes += " Open: the same on a GPU, with its share of the card's bf16 peak, and a long training there; none was at hand."
    write_tables("generator_step", before, notes, tables)


if __name__ == "__main__":
    main()
