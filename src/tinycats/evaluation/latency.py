"""How long a model takes, and how much memory: timings, which go to metrics/timing and nowhere else."""

from __future__ import annotations

import copy
import itertools
import resource
import sys
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tinycats.runtime.track import track

M = TypeVar("M", bound=nn.Module)

WARMUP_RUNS = 3


def measure_latency(
    run: Callable[[], object], batch_size: int, runs: int, device: torch.device, warmup_runs: int = WARMUP_RUNS
) -> dict[str, float]:
    """Call `run`, which handles `batch_size` images, `runs` times after `warmup_runs` calls that do not count.

    Returns p50_ms, p95_ms, p99_ms, images_per_second (of the mean), peak_memory_mb (see peak_memory_mb), batch_size and
    runs.
    """
    for _ in range(warmup_runs):
        run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    seconds = np.array([_timed(run, device) for _ in track(range(runs), "measuring the latency")])
    p50, p95, p99 = np.percentile(seconds * 1000, [50, 95, 99])
    return {
        "p50_ms": float(p50),
        "p95_ms": float(p95),
        "p99_ms": float(p99),
        "images_per_second": batch_size / float(seconds.mean()),
        "peak_memory_mb": peak_memory_mb(device),
        "batch_size": batch_size,
        "runs": runs,
    }


def fold_norms(model: M) -> M:
    """A copy, in eval mode, whose batch norms are part of the convolutions before them.

    Networks list a norm behind the convolution whose output it gets. timm's norms have an activation inside, which stays.
    """
    folded = copy.deepcopy(model).eval()
    for parent in list(folded.modules()):
        children = list(parent.named_children())
        for (name, conv), (norm_name, norm) in itertools.pairwise(children):
            if (
                isinstance(conv, nn.Conv2d)
                and isinstance(norm, nn.BatchNorm2d)
                and conv.out_channels == norm.num_features
            ):
                setattr(parent, name, fuse_conv_bn_eval(conv, norm))
                setattr(parent, norm_name, getattr(norm, "act", nn.Identity()))
    return folded


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB (10^6 bytes).

    On CUDA the largest allocation since the last reset, elsewhere the largest resident size of the process so far.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # ru_maxrss is in bytes on macOS and in KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def _timed(run: Callable[[], object], device: torch.device) -> float:
    start = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
