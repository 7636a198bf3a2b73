"""Which precision `auto` means, and memory that is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from tinycats.learning.precision import resolve_dtype

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"amx_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": True}, torch.bfloat16),
        ({"amx_bf16": False, "avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),  # ARM names none of them
    ],
)
def test_auto_is_bfloat16_where_the_cpu_multiplies_fast_in_it(
    capabilities: dict[str, bool], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_dtype("auto", CPU) == dtype
    assert resolve_dtype("fp32", CPU) == torch.float32


ALLOCATE = """
import resource, sys
import numpy as np
from tinycats.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(4 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(4 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is a setting of glibc")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    def new_pages(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", ALLOCATE, how], check=True, capture_output=True).stdout)

    assert new_pages("keep") < new_pages("plain") / 10
