"""Which precision to compute in: the one that is fastest on the machine, measured once."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from functools import cache
from pathlib import Path

import torch
from torch import nn

from tinycats.learning.distributed import largest
from tinycats.runtime.files import read_json, write_json
from tinycats.runtime.params import Precision

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
FASTER = 1.1  # times as fast as float32 a precision must be to be worth its rounding
BUDGET_S = 0.5  # of measuring
MIN_ROUNDS = 5


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The autocast dtype; `auto` is the fastest one on this machine.

    bfloat16 is ten times as fast as float32 on a CPU with AMX and slower than it on others, and some GPUs only emulate it:
    so it is measured, in half a second, and the answer kept in the user's cache directory.
    """
    return _fastest(device) if precision == "auto" else DTYPES[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to `dtype`; float32 switches it off."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def candidates(device: torch.device) -> list[torch.dtype]:
    """What may be faster than float32: bfloat16 where the hardware has it, float16 on GPUs that only emulate bfloat16."""
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return [torch.bfloat16 if native else torch.float16]
    capabilities = torch.cpu.get_capabilities()
    return [torch.bfloat16] if any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16")) else []


def measure(
    device: torch.device, dtypes: Sequence[torch.dtype], budget_s: float = BUDGET_S
) -> dict[torch.dtype, float]:
    """Seconds of a training step of a small transformer block in each precision: the shortest of several, taken in turn.

    16 images of 64 tokens, as dit=nano has them. In turn, and the shortest, because other work on the machine comes and goes and
    only ever adds to it.
    """
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(192, 3, 768, dropout=0.0, batch_first=True, norm_first=True).to(device)
    x = torch.randn(16, 64, 192, device=device)

    def step(dtype: torch.dtype) -> float:
        began = time.perf_counter()
        with autocast(device, dtype):
            loss = block(x).float().square().mean()
        loss.backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - began

    end = time.perf_counter() + budget_s
    rounds = [[step(dtype) for dtype in dtypes]]
    while len(rounds) < MIN_ROUNDS or time.perf_counter() < end:
        rounds.append([step(dtype) for dtype in dtypes])
    return dict(zip(dtypes, map(min, zip(*rounds, strict=True)), strict=True))


@cache
def _fastest(device: torch.device) -> torch.dtype:
    others = candidates(device)
    if not others:
        return torch.float32
    path, key = _cache_path(), _machine(device)
    known = _known(path)
    if key not in known:
        known[key] = NAMES[_measured(device, others)]
        with suppress(OSError):  # a home that cannot be written to: the next process measures again
            write_json(path, known)
    (chosen,) = largest(list(DTYPES).index(known[key]))  # processes that share a run agree
    return list(DTYPES.values())[chosen]


def _measured(device: torch.device, others: list[torch.dtype]) -> torch.dtype:
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seconds = measure(device, [torch.float32, *others])
    best = min(others, key=seconds.__getitem__)
    return best if seconds[torch.float32] / seconds[best] >= FASTER else torch.float32


def _known(path: Path) -> dict[str, str]:
    """The names of the fastest precisions by machine; a file that is broken says nothing."""
    try:
        content = read_json(path)
    except (OSError, ValueError):
        return {}
    names = list(DTYPES)
    return {key: name for key, name in content.items() if name in names} if isinstance(content, dict) else {}


def _cache_path() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinycats" / "precision.json"


def _machine(device: torch.device) -> str:
    """What the answer depends on."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), platform.processor()
    )
    kinds = [name for name, has in sorted(torch.cpu.get_capabilities().items()) if has is True]
    return f"{cpu}, {torch.get_num_threads()} threads, {' '.join(kinds)}, torch {torch.__version__}"


def _cpuinfo() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
