"""Memory of the process, as far as the C library gives it out."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc


def keep_freed_memory() -> None:
    """Let malloc keep what is freed (up to 1 GB, and blocks up to 32 MB) for the next allocation. Only on glibc.

    By default it gives large blocks back to the system at once, and every step of training pays for new pages again
    (benchmarks/generator_step.py has both).
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(M_TRIM_THRESHOLD, 1 << 30)
            mallopt(M_MMAP_THRESHOLD, 32 << 20)
