"""Inputs at random: FUZZ_INPUTS of them in all, the same ones every time unless there are many."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

INPUTS = int(os.environ.get("FUZZ_INPUTS", "300"))
TESTS = 11
MAX_BYTES = 2**30

settings.register_profile(
    "fuzz",
    max_examples=max(1, INPUTS // TESTS),
    derandomize=INPUTS <= 300,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
settings.load_profile("fuzz")


def memory(key: str) -> int:
    """VmRSS, what this process holds in memory, or VmHWM, the most that it held: bytes."""
    found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """No input takes a gigabyte. Only Linux tells."""
    if not Path("/proc/self/clear_refs").exists():
        yield
        return
    before = memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forgets the most so far
    yield
    assert memory("VmHWM") - before < MAX_BYTES
