"""What a benchmark says of its machine, and where it writes its result."""

from __future__ import annotations

import json
import os
import platform
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import torch

ROOT = Path(__file__).resolve().parent.parent


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def matrix_gflops(dtype: torch.dtype, size: int = 2048, runs: int = 7) -> float:
    """Median speed of square matrix products: what the machine gives at this moment."""
    a, b = torch.randn(size, size).to(dtype), torch.randn(size, size).to(dtype)
    return 2 * size**3 / median(seconds(lambda: a @ b) for _ in range(runs)) / 1e9


def machine() -> dict[str, Any]:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # older releases of torch do not say
    return {
        "cpu": model[1] if model else platform.processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "amx_bf16": capabilities.get("amx_bf16", False),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "fp32_gflops": matrix_gflops(torch.float32),
        "bf16_gflops": matrix_gflops(torch.bfloat16),
    }


def write_result(name: str, content: dict[str, Any]) -> None:
    """Write benchmarks/results/NAME.json, for report.py."""
    path = ROOT / "benchmarks/results" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n")


def write_tables(name: str, before: dict[str, Any], notes: str, tables: Sequence[dict[str, Any]], **more: str) -> None:
    """Print tables ({"head": names, "rows": lists of cells}) and write them; `before` is machine() before the measurement.

    more: `command`, the script and its arguments where they are not NAME.py; `picture`, a file in docs/.
    """
    for table in tables:
        for row in (table["head"], *table["rows"]):
            print("  ".join(str(cell) for cell in row))
        print()
    write_result(name, {"machine": before, "notes": notes, "tables": list(tables), **more})
