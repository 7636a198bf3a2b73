"""Write docs/benchmarks.md from benchmarks/results/*.json: python benchmarks/report.py"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks/results"
TITLES = {
    "default": "The default run: synthetic cats",
    "default_amx": "The default run on a CPU with AMX",
    "oxford_pets": "Real photos: Oxford-IIIT Pet, 12 breeds and `other`",
    "jersey_numbers": "Real photos: basketball jersey numbers, 42 classes",
    "few_steps_default": "Few steps: student and teacher on synthetic cats",
    "few_steps_oxford_pets": "Few steps: student and teacher on Oxford-IIIT Pet",
    "classifier_recipe": "What helps a classifier on few real photos",
    "middle": "How much of a photo the classifier should look at",
    "adapter_default": "An adapter for a breed that the generator has never seen: synthetic cats",
    "adapter_oxford_pets": "An adapter for a breed that the generator has never seen: Oxford-IIIT Pet",
    "generator_recipe": "What helps a generator on few real photos",
    "generator_step": "A training step of the generator",
    "generator_profile": "Where the time of a training step goes",
    "classifier_epoch": "An epoch of the classifier",
    "preprocessing": "preprocess, beside Pillow alone",
    "web_page": "The web page in headless Chromium",
    "overhead": "What a training stage does besides training",
}


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics by dotted name; lists and per-class figures are left to the metrics files."""
    figures: dict[str, Any] = {}
    for name, value in content.items():
        if isinstance(value, dict) and name != "per_class_accuracy":
            figures |= flat(value, f"{prefix}{name}.")
        elif name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in content:
            continue  # stands beside its value
        elif f"{name}_low" in content:
            figures[prefix + name] = (
                f"{show(value)} ({show(content[f'{name}_low'])} to {show(content[f'{name}_high'])})"
            )
        elif isinstance(value, (int, float)):
            figures[prefix + name] = value
    return figures


def describe(machine: dict[str, Any]) -> str:
    amx = "with AMX" if machine["amx_bf16"] else "without AMX"
    return f"{machine['cpu']}, {amx}, {machine['cores']} cores, {machine['memory_gb']} GB"


def tables(name: str, result: dict[str, Any]) -> str:
    """A section on what was measured beside a peer."""
    machine = result["machine"]
    speed = (
        f"Machine: {describe(machine)}; matrix products just before: {machine['bf16_gflops']:.0f} (bf16) and "
        f"{machine['fp32_gflops']:.0f} (fp32) GFLOP/s."
    )
    command = result.get("command", f"{name}.py")
    parts = [f"## {TITLES.get(name, name)}", f"`python benchmarks/{command}`. {result['notes']} {speed}"]
    parts += [table(content["head"], content["rows"]) for content in result["tables"]]
    if "picture" in result:
        parts.append(f"![{TITLES.get(name, name)}]({result['picture']})")
    return "\n\n".join(parts)


def section(name: str, result: dict[str, Any]) -> str:
    if "tables" in result:
        return tables(name, result)
    machine, metrics = result["machine"], result["metrics"]
    what = " ".join(f"-S {override}" for override in result["overrides"]) or "params.yaml as it is"
    parts = [
        f"## {TITLES.get(name, name)}",
        f"Parameters: `{what}`"
        + (f", up to `{result['stage']}`." if result["stage"] else ".")
        + (f" {note}" if (note := result.get("note")) else ""),
        table(
            ["what", "figure"],
            [
                ["first `dvc repro`, everything runs", f"{result['seconds']:.0f} s"],
                ["second `dvc repro`", f"{result['second_seconds']:.1f} s, {len(result['second_ran'])} stages run"],
                ["peak memory of all processes", f"{result['peak_memory_mb']:.0f} MB"],
                ["of the cores, taken by other machines on the host (steal)", f"{result['steal_fraction']:.0%}"],
                ["machine", describe(machine)],
                [
                    "bf16 and fp32 matrix products just before",
                    f"{machine['bf16_gflops']:.0f} and {machine['fp32_gflops']:.0f} GFLOP/s",
                ],
            ],
        ),
        table(["stage", "seconds"], [[stage, f"{seconds:.0f}"] for stage, seconds in result["stage_seconds"].items()]),
    ]
    if "preprocess" in metrics:
        listed = metrics["preprocess"].get("quarantined_files", [])
        figures = flat({key: metrics["preprocess"][key] for key in ("read", "kept", "quarantined", "splits")})
        parts.append(table(["preprocess", "pictures"], figures.items()))
        if listed:
            parts.append(
                "Left out: " + ", ".join(f"{entry['name']} ({entry['reason']})" for entry in listed[:40]) + "."
            )
            if len(listed) > 40:
                parts.append(f"... and {len(listed) - 40} more, named in metrics/preprocess.json of that run.")
    for file in ("classifier/metrics", "evaluate", "export", "quantize"):
        if file in metrics:
            rows = [[key, show(value)] for key, value in flat(metrics[file]).items()]
            parts.append(table([f"metrics/{file}.json", "value"], rows))
    return "\n\n".join(parts)


def main() -> None:
    results = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    versions = {
        f"Python {result['machine']['python']}, torch {result['machine']['torch']}" for result in results.values()
    }
    head = f"""# What was measured

Written by `python benchmarks/report.py` from benchmarks/results/, which the scripts in benchmarks/ measured. "FD-classifier" and
"KD-classifier" are distances on features of the pipeline's own evaluator network; no figure here is an FID.
In brackets: 95% intervals (what other pictures, as many of them, would give; another training run is not in them).

Each section names its machine ({"; ".join(sorted(versions))}). All are virtual machines that share their host: the steal and the
speed of matrix products say how much of it a run had."""
    order = [name for name in TITLES if name in results] + [name for name in results if name not in TITLES]
    text = "\n\n".join([head, *(section(name, results[name]) for name in order)]) + "\n"
    (ROOT / "docs/benchmarks.md").write_text(text)
    print(f"docs/benchmarks.md: {len(results)} runs")


if __name__ == "__main__":
    main()
