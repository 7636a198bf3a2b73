"""Where the time of a training step of TinyDiT on the CPU goes: its parts, and the operators of forward and backward.

    python benchmarks/generator_profile.py

Writes benchmarks/results/generator_profile.json.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from statistics import median

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.profiler import ProfilerActivity, profile

from machine import machine, write_tables
from tinycats.generator.task import FlowMatchingTask
from tinycats.learning.optimizer import adamw
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.params import DitParams, TrainParams
from training import composed, new_generator, random_images

CPU = torch.device("cpu")
DTYPE = resolve_dtype("auto", CPU)
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


def parts(network: DitParams, training: TrainParams) -> tuple[dict[str, float], dict[str, float]]:
    """Median milliseconds of the parts of a step, and shares of the operators' own time in forward and backward."""
    torch.manual_seed(0)
    model, split = new_generator(network), random_images(network.image_size)
    task = FlowMatchingTask(
        name="profile", model=model, train=split, val=split, seed=0, mirror=True, training=training, sample_every=None,
        device=CPU, dtype=DTYPE,
    )  # fmt: skip
    optimizer = adamw(model, training, task.lr_scales)
    assert training.ema_decay is not None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.ema_decay), use_buffers=True)
    batches = task.batches(0, range(training.batch_size))
    batch = next(batches)

    def forward() -> torch.Tensor:
        with autocast(CPU, DTYPE):
            return task.loss(model, batch)

    def forward_backward() -> None:
        forward().backward()

    forward_only, both = milliseconds(forward), milliseconds(forward_backward)
    medians = {
        "making the batch (pictures, noise, times)": milliseconds(lambda: next(batches)),
        "forward": forward_only,
        "backward": both - forward_only,
        "gradient clipping": milliseconds(
            lambda: torch.nn.utils.clip_grad_norm_(model.parameters(), training.clip_norm)
        ),
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
        params = composed(f"dit={name}")
        medians, shares = parts(params.dit, params.train.model_copy(update={"batch_size": batch_size}))
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
