"""What a command costs: seconds, CPU seconds and memory of all its processes."""

from __future__ import annotations

import os
import resource
import subprocess
import threading
import time
from pathlib import Path

import psutil


class MemoryMeter(threading.Thread):
    """The largest sum of resident memory of this process's children, sampled twice a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_bytes = 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.5):
            total = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    total += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_bytes = max(self.peak_bytes, total)


def measured(command: list[str], cwd: Path, env: dict[str, str]) -> dict[str, float]:
    """Run it: wall seconds, CPU seconds (user and system, of all its processes), peak memory in MB, and the load before it.

    Raises subprocess.CalledProcessError where it fails.
    """
    meter, before, started = MemoryMeter(), resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    load = os.getloadavg()[0]
    meter.start()
    try:
        subprocess.run(command, cwd=cwd, env=env, check=True)
    finally:
        meter.stopped.set()
        meter.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.monotonic() - started, 2),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_memory_mb": round(meter.peak_bytes / 2**20),
        "load": round(load, 1),
    }
