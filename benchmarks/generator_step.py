"""A training step of TinyDiT in the pipeline's loop, compared with diffusers' DiT of the same size in a minimal loop.

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
import time
from itertools import product
from statistics import median
from typing import Any

import numpy as np
import torch

import tinycats.runtime.vision  # noqa: F401  # diffusers needs torchvision, which needs this with a CPU-only torch
from machine import machine, write_tables
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning import loop, precision
from tinycats.learning.precision import NAMES, autocast, resolve_dtype
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.params import DitParams, TrainParams
from training import CLASSES, composed, new_generator, random_images, train_in_scratch

WARM_UP = 3
DEVICE = resolve_device("auto")


class TimedTask(FlowMatchingTask):
    """Notes when each step ended; a GPU is waited for at the end of the warm-up and of the run alone."""

    ended: list[float]

    def validates(self, done: int) -> bool:
        if done in (WARM_UP, self.steps):
            synchronize()
        self.ended.append(time.perf_counter())
        return False


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def ours(network: DitParams, training: TrainParams) -> float:
    """Seconds of a step: the median, or the mean on a GPU, which a step does not wait for."""
    model, split = new_generator(network), random_images(network.image_size)
    model.gradient_checkpointing = training.gradient_checkpointing
    dtype = resolve_dtype(training.precision, DEVICE)
    task = TimedTask(
        name="step", model=model, train=split, val=split, seed=0, mirror=True, training=training, sample_every=None,
        device=DEVICE, dtype=dtype,
    )  # fmt: skip
    task.ended = []
    train_in_scratch(task, training, DEVICE)
    times = np.diff(task.ended[WARM_UP - 1 :])
    return float(np.mean(times) if DEVICE.type == "cuda" else np.median(times))


def diffusers(network: DitParams, training: TrainParams) -> float:
    from diffusers import DiTTransformer2DModel

    model = DiTTransformer2DModel(
        num_attention_heads=network.heads, attention_head_dim=network.width // network.heads, in_channels=3, out_channels=3,
        num_layers=network.depth, sample_size=network.image_size, patch_size=network.patch_size, num_embeds_ada_norm=len(CLASSES),
    ).to(DEVICE)  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=training.lr)
    batch, dtype = training.batch_size, resolve_dtype(training.precision, DEVICE)
    x = torch.rand(batch, 3, network.image_size, network.image_size, device=DEVICE) * 2 - 1
    labels = torch.arange(batch, device=DEVICE) % len(CLASSES)
    times = []
    for _ in range(training.steps):
        start = time.perf_counter()
        noise, t = torch.randn_like(x), torch.rand(batch, device=DEVICE)
        mix = t[:, None, None, None]
        with autocast(DEVICE, dtype):
            velocity = model(mix * x + (1 - mix) * noise, timestep=(1000 * t).long(), class_labels=labels).sample
        loss = (velocity.float() - (x - noise)).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        times.append(time.perf_counter() - start)
    return median(times[WARM_UP:])


def child(variant: dict[str, Any]) -> None:
    """Measure one variant; print JSON."""
    torch.manual_seed(0)
    network, training = DitParams(**variant["network"]), TrainParams(**variant["training"])
    if not variant["keep"]:
        loop.keep_freed_memory = lambda: None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = (diffusers if variant["peer"] else ours)(network, training)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    if DEVICE.type == "cuda":
        memory = torch.cuda.max_memory_allocated() // 1024
    print(json.dumps({"seconds": seconds, "memory_mb": memory / 1024}))


def measure(network: DitParams, training: TrainParams, peer: bool = False, keep: bool = True) -> dict[str, float]:
    """`keep`: freed memory, as the loop does (tinycats.runtime.memory)."""
    sections = {"network": network.model_dump(), "training": training.model_dump()}
    command = [sys.executable, __file__, "--child", json.dumps({**sections, "peer": peer, "keep": keep})]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(training.precision, training.batch_size, "diffusers" if peer else "ours", result, flush=True)
    return result


def model_flops(network: DitParams, batch: int) -> float:
    """Of a step: 6 for each weight of a matrix and token it meets, and 12 width tokens for attention in each block and token."""
    tokens = (network.image_size // network.patch_size) ** 2
    named = new_generator(network).named_parameters()
    weights = sum(p.numel() for name, p in named if name.startswith("blocks.") and p.ndim == 2)
    return batch * tokens * (6 * weights + 12 * network.depth * network.width * tokens)


def automatic() -> str:
    """What `precision: auto` is on this machine, and what that is decided by, measured again."""
    chosen = NAMES[resolve_dtype("auto", DEVICE)]
    candidates = [torch.float32, *precision.candidates(DEVICE)]
    seconds = precision.measure(DEVICE, candidates)
    times = [f"{NAMES[dtype]} {1000 * seconds[dtype]:.1f} ms" for dtype in candidates]
    return f"precision: auto is {chosen} on this machine; the step of a small block that decides it takes {', '.join(times)}."


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--steps", type=int, default=9, help="of each variant, the first three not counted")
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.child)
        return
    before, auto = machine(), automatic()
    print(auto, flush=True)
    tables = []
    for name, batch in (("nano", 16), ("small", 8)):
        params = composed(f"dit={name}")
        rows: list[list[str]] = []
        steps = arguments.steps * (4 if name == "nano" else 1)
        fp32 = params.train.model_copy(update={"steps": steps, "batch_size": batch, "precision": "fp32"})
        bf16 = fp32.model_copy(update={"precision": "bf16"})
        for label, training, how in (
            ("diffusers, fp32", fp32, {"peer": True}),
            ("diffusers, bf16", bf16, {"peer": True}),
            ("ours, fp32", fp32, {}),
            ("ours, bf16, freed memory not kept", bf16, {"keep": False}),
            ("ours, bf16", bf16, {}),
            ("ours, bf16, compiled", bf16.model_copy(update={"compile": True}), {}),
        ):
            seconds = measure(params.dit, training, **how)["seconds"]
            if not rows:
                reference = seconds
            speed = model_flops(params.dit, batch) / seconds / 1e9
            figures = [f"{1000 * seconds:.0f}", f"{batch / seconds:.1f}", f"{reference / seconds:.2f}", f"{speed:.0f}"]
            rows.append([label, *figures])
        head = [f"dit={name}, batch {batch}", "ms a step", "img/s", "times the first row", "model GFLOP/s"]
        tables.append({"head": head, "rows": rows})
    params, rows = composed("dit=small"), []
    for batch, compile, checkpointing in product((8, 32), (False, True), (False, True)):
        switches = {"compile": compile, "gradient_checkpointing": checkpointing}
        changes = {"steps": arguments.steps, "batch_size": batch, "precision": "bf16", **switches}
        result = measure(params.dit, params.train.model_copy(update=changes))
        on = ["on" if switch else "off" for switch in switches.values()]
        rows.append([str(batch), *on, f"{1000 * result['seconds']:.0f}", f"{result['memory_mb']:.0f}"])
    head = ["dit=small, bf16: batch", *switches, "ms a step", "MB above the start"]
    tables.append({"head": head, "rows": rows})
    notes = (
        "The pipeline's own loop (batches, clipping, fused AdamW, EMA, guard, status) against diffusers' DiTTransformer2DModel "
        "of the same width, depth, heads and tokens in a loop of forward, backward and AdamW alone. Medians; every row is a "
        f"process of its own. {auto}"
    )
    if not torch.cuda.is_available():
        notes += " Open: the same on a GPU, with its share of the card's bf16 peak, and a long training there; none was at hand."
    write_tables("generator_step", before, notes, tables)


if __name__ == "__main__":
    main()
