"""The web page's own benchmark in headless Chromium, one WASM thread and two: writes benchmarks/results/web_page.json.

    python benchmarks/web_page.py [RUNS]

It needs the production build with published models in it (frontend/dist, as `make app` makes it). frontend/bench.mjs drives
the browser. Both generators are timed as they were published, and as dit=small: those are untrained, which changes no time.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import torch

from machine import ROOT, machine, write_tables
from tinycats.export.onnx_export import export_generators
from tinycats.export.quantize import quantize_generator
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.publishing.layout import GENERATORS
from tinycats.publishing.manifest import describe_generator, list_files
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.params import SamplerSettings
from training import composed

DIST = ROOT / "frontend/dist"
KEYS = {"teacher": "generator"}  # the page's words and the manifest's
STEPS = {"teacher": (8,), "student": (4, 1)}
RUNTIMES = (("int8", 1), ("fp32", 1), ("int8", 2), ("fp32", 2))
HEAD = ["model", "precision", "threads", "session runs", "p50 ms", "p95 ms", "p99 ms", "images/s", "MB", "memory MB"]


def put_small_generators(models: Path) -> None:
    """Replace the published generators below `models` by untrained ones of dit=small."""
    manifest = json.loads((models / "manifest.json").read_text())
    shape = composed("dit=small").dit.model_dump()
    for name in GENERATORS:
        published = manifest[name]
        sampler = SamplerSettings(**published["sampler"])
        torch.manual_seed(0)
        config = TinyDiTConfig(classes=published["classes"], few_step=published["few_step"], **shape)
        files = {precision: models / path for precision, path in published["files"].items()}
        export_generators({files["fp32"]: TinyDiT(config).eval()}, opset=20)
        quantize_generator(files["fp32"], files["int8"])
        manifest[name] = describe_generator(name, config, sampler, models)
    (models / "manifest.json").write_text(json.dumps({**manifest, "files": list_files(models)}))


def measure(dist: Path, model: str, precision: str, threads: int, steps: int, runs: int) -> list[Any]:
    """A row of the table."""
    command = ["node", "bench.mjs", str(dist), model, precision, str(threads), str(steps), str(runs)]
    done = subprocess.run(command, cwd=ROOT / "frontend", capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{' '.join(command)}: {done.stderr.strip()}")
    report = json.loads(done.stdout)
    (result,) = report["results"]
    summary, sampler = result["summary_ms"], result["sampler"]
    size = json.loads((dist / "models/manifest.json").read_text())[KEYS.get(model, model)]["image_size"]
    how = f", {sampler['steps']} steps{', guided' if sampler['guidance'] != 1 else ''}" if sampler else ""
    return [
        f"{model}, {size} px{how}",
        precision,
        report["device"]["threads"],
        result["session_runs"],
        *(round(summary[key], 1) for key in ("p50", "p95", "p99")),
        round(result["images_per_second"], 2),
        round(result["bytes"] / 1e6, 1),
        round(report["runtime_memory_bytes"] / 1e6),
    ]


def generators(dist: Path, runs: int) -> list[list[Any]]:
    return [
        measure(dist, model, precision, threads, steps, runs)
        for model, all_steps in STEPS.items()
        for steps in all_steps
        for precision, threads in RUNTIMES
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="?", type=int, default=20, help="of each row")
    runs: int = parser.parse_args().runs
    if not (DIST / "models/manifest.json").exists():
        raise UserError(f"{DIST.relative_to(ROOT)}: no build with models in it; run `make app` once")
    before = machine()
    rows = [measure(DIST, "classifier", precision, threads, 1, runs) for precision, threads in RUNTIMES]
    rows += generators(DIST, runs)
    with tempfile.TemporaryDirectory() as temporary:
        dist = Path(temporary) / "dist"
        shutil.copytree(DIST, dist)
        put_small_generators(dist / "models")
        rows += generators(dist, runs)
    notes = (
        f"The page's benchmark in headless Chromium: {runs} runs after 3 of warm-up. Classifier: from a 256 px JPEG to the "
        "answer. Generators: a whole picture; at 128 px they are dit=small, untrained. Memory: of ONNX Runtime, with the model."
    )
    write_tables("web_page", before, notes, [{"head": HEAD, "rows": rows}])


if __name__ == "__main__":
    with one_line_errors():
        main()
