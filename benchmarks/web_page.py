"""The web page's own benchmark in headless Chromium, one WASM thread and two: writes benchmarks/results/web_page.json.

    python benchmarks/web_page.py [RUNS]

It needs the production build with published models in it (frontend/dist, as `make app` makes it). frontend/bench.mjs drives
the browser. The generator is timed as it was published, and as dit=small: that one is untrained, which changes no time.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import yaml

from machine import ROOT, machine, write_tables
from tinycats.export.onnx_export import export_generator
from tinycats.export.quantize import quantize_generator
from tinycats.models.tinydit import TinyDiT, TinyDiTConfig
from tinycats.publishing.manifest import describe_generator, list_files

STEPS = 8
DIST = ROOT / "frontend/dist"
HEAD = ["model", "precision", "threads", "session runs", "p50 ms", "p95 ms", "p99 ms", "images/s", "MB"]


def put_small_generator(models: Path) -> None:
    """Replace the published generator below `models` by an untrained one of dit=small."""
    manifest = json.loads((models / "manifest.json").read_text())
    shape = yaml.safe_load((ROOT / "conf/dit/small.yaml").read_text())
    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=manifest["generator"]["classes"], **shape)).eval()
    export_generator(model, models / "onnx/generator.onnx", opset=20)
    quantize_generator(models / "onnx/generator.onnx", models / "onnx_int8/generator.onnx")
    manifest |= {"generator": describe_generator(model.config, models), "files": list_files(models)}
    (models / "manifest.json").write_text(json.dumps(manifest))


def measure(dist: Path, models: str, runs: int) -> list[list[Any]]:
    """A row for each model, precision and number of threads; `models` is a choice of the page's form."""
    manifest = json.loads((dist / "models/manifest.json").read_text())
    rows: list[list[Any]] = []
    for precision in ("int8", "fp32"):
        for threads in (1, 2):
            command = ["node", "bench.mjs", str(dist), models, precision, str(threads), str(STEPS), str(runs)]
            done = subprocess.run(command, cwd=ROOT / "frontend", capture_output=True, text=True, check=False)
            if done.returncode:
                raise SystemExit(f"error: {done.stderr.strip()}")
            report = json.loads(done.stdout)
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
                        round(result["bytes"] / 1e6, 1),
                    ]
                )
    return rows


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    before = machine()
    rows = measure(DIST, "both", runs)
    with tempfile.TemporaryDirectory() as temporary:
        dist = Path(temporary) / "dist"
        shutil.copytree(DIST, dist)
        put_small_generator(dist / "models")
        rows += measure(dist, "generator", runs)
    notes = (
        f"The page's benchmark in headless Chromium: {runs} runs after 3 of warm-up. Classifier: from a 256 px JPEG to the "
        f"answer. Generator: a whole picture of {STEPS} steps with guidance; at 128 px it is dit=small, untrained."
    )
    write_tables("web_page", before, notes, [{"head": HEAD, "rows": rows}])


if __name__ == "__main__":
    main()
