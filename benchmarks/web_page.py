"""The web page's own benchmark in headless Chromium, one WASM thread and two: writes benchmarks/results/web_page.json.

    python benchmarks/web_page.py [DIST]

DIST is a production build with models in it (frontend/dist); frontend/bench.mjs drives the browser.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import ROOT, machine, write_tables

STEPS = 8
RUNS = 20


def measure(dist: Path, precision: str, threads: int) -> dict[str, Any]:
    """The page's exported report."""
    command = ["node", "bench.mjs", str(dist), precision, str(threads), str(STEPS), str(RUNS)]
    done = subprocess.run(command, cwd=ROOT / "frontend", capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"error: {done.stderr.strip()}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    dist = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "frontend/dist").resolve()
    manifest = json.loads((dist / "models/manifest.json").read_text())
    before = machine()
    rows = []
    for precision in ("int8", "fp32"):
        for threads in (1, 2):
            report = measure(dist, precision, threads)
            for result in report["results"]:
                summary = result["summary_ms"]
                rows.append(
                    [
                        f"{result['model']}, {manifest[result['model']]['image_size']} px",
                        precision,
                        report["device"]["threads"],
                        result["session_runs"],
                        *(round(summary[key], 1) for key in ("p50", "p95", "p99")),
                        round(result["images_per_second"], 2),
                        f"{result['bytes'] / 1e6:.1f}",
                    ]
                )
    head = ["model", "precision", "threads", "session runs", "p50 ms", "p95 ms", "p99 ms", "images/s", "MB"]
    notes = (
        f"The page's benchmark in headless Chromium, {RUNS} runs after 3 of warm-up. Classifier: from a 256 px JPEG to the "
        f"answer. Generator: a whole guided picture of {STEPS} steps."
    )
    write_tables("web_page", before, notes, [{"head": head, "rows": rows}])


if __name__ == "__main__":
    main()
