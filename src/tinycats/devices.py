"""Which device and which precision to compute in."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Literal

import torch

from tinycats.errors import UserError

Precision = Literal["auto", "fp32", "bf16", "fp16"]


def resolve_device(name: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device of that name; `auto` is CUDA where there is one. Raises UserError where CUDA is asked for and missing."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("compute.device: there is no CUDA device here; use compute.device=auto")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def resolve_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """The autocast dtype; `auto` is bfloat16 where the hardware multiplies fast in it.

    That is on CUDA and on CPUs with AMX (about eight times as fast as float32) or AVX-512 BF16 (twice as fast).
    """
    if precision == "auto":
        if device.type == "cuda":
            fast = torch.cuda.is_bf16_supported()
        else:
            capabilities = torch.cpu.get_capabilities()
            fast = any(capabilities.get(name, False) for name in ("amx_bf16", "avx512_bf16"))
        return torch.bfloat16 if fast else torch.float32
    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]


def autocast(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to `dtype`; float32 switches it off."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)
