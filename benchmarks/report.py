"""Write docs/benchmarks.md (the figures that matter), docs/benchmarks/*.md (all tables), docs/scale.md and README's beginning.

    python benchmarks/report.py

Reads metrics/, params.yaml and benchmarks/results/*.json.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml

from scale_page import scale_page

ROOT = Path(__file__).resolve().parent.parent
RESULTS = "benchmarks/results"
PAGES = {  # file in docs/benchmarks/ -> its title and results
    "synthetic": ("The default run: synthetic cats", ["default", "default_amx"]),
    "photos": ("Runs on real photos", ["oxford_pets", "one_epoch", "jersey_numbers"]),
    "classifier": ("Training the classifier", ["finetuning", "unlike", "classifier_epoch"]),
    "generator": (
        "Training the generator",
        ["generator_recipe", "student_recipe", "generator_step", "generator_profile", "gpu"],
    ),
    "adapter": ("Adapters for an unseen breed", ["adapter_default", "adapter_oxford_pets"]),
    "web-page": ("The web page", ["web_page"]),
    "stages": ("Preparing images and starting stages", ["preprocessing", "data_report", "overhead"]),
}
OTHER = ("other", "Other measurements")  # gets the results that no page lists
TITLES = {
    "default": "The default run",
    "default_amx": "On a CPU with AMX",
    "oxford_pets": "Oxford-IIIT Pet: 12 breeds and `other`",
    "one_epoch": "Oxford-IIIT Pet: one epoch of the classifier",
    "jersey_numbers": "Basketball jersey numbers: 42 classes",
    "finetuning": "What helps to fine-tune a classifier on few photos",
    "unlike": "Images unlike the training images",
    "adapter_default": "Synthetic cats",
    "adapter_oxford_pets": "Oxford-IIIT Pet",
    "generator_recipe": "What helps a generator on few whole photos (the script is for faces today)",
    "student_recipe": "What helps the student on few photos",
    "generator_step": "A training step, compared with diffusers",
    "generator_profile": "Where the time of a training step goes",
    "gpu": "On one GPU, in minutes",
    "classifier_epoch": "An epoch, compared with ImageFolder and DataLoader",
    "preprocessing": "preprocess, compared with Pillow alone",
    "data_report": "What the look at the data finds",
    "web_page": "In headless Chromium",
    "overhead": "What a training stage does besides training",
}
BEGIN, END = "<!-- written by benchmarks/report.py -->", "<!-- end of what is written -->"  # in README.md
TERMS = """FD and KD are the Fréchet and kernel distances of the features of a network that is named with them, frozen, with
ImageNet weights; neither is an FID or a KID, and both compare at equal numbers of images alone. In brackets: 95% intervals for
another test set of the same size. They do not cover another training run. Tables with "FD-classifier" are older: their
features were those of a small network trained on the same data. "Steal" and the speed of matrix products show how much of a
shared machine a run got."""

Content = dict[str, Any]


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def show(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def flat(content: Content, prefix: str = "") -> Content:
    """Nested metrics by dotted name; lists and per-class figures are left to the metrics files."""
    figures: Content = {}
    for name, value in content.items():
        if isinstance(value, dict) and name != "per_class_accuracy":
            figures |= flat(value, f"{prefix}{name}.")
        elif name.endswith(("_low", "_high")) and name.rsplit("_", 1)[0] in content:
            continue  # stands next to its value
        elif f"{name}_low" in content:
            figures[prefix + name] = interval(content, name, show)
        elif isinstance(value, (int, float)):
            figures[prefix + name] = value
    return figures


def interval(content: Content, name: str, form: Any = "{:.1%}".format) -> str:
    """A figure with its interval."""
    return f"{form(content[name])} ({form(content[f'{name}_low'])} to {form(content[f'{name}_high'])})"


def describe(machine: Content) -> str:
    amx = "with AMX" if machine["amx_bf16"] else "without AMX"
    gpu = f", {machine['gpu']}" if machine["gpu"] else ""
    return f"{machine['cpu']}, {amx}, {machine['cores']} cores, {machine['memory_gb']} GB{gpu}"


def cell(name: str, result: Content, row: str, column: str, number: int = 0) -> str:
    """Of a result's table `number`: the cell in the first column of this name and the row that begins with `row`."""
    content = result["tables"][number]
    for cells in content["rows"]:
        if " | ".join(map(str, cells)).startswith(f"{row} | ") and column in content["head"]:
            return str(cells[content["head"].index(column)])
    raise SystemExit(f"error: {RESULTS}/{name}.json has no row {row!r} with a column {column!r}, which report.py shows")


def headline(results: dict[str, Content]) -> str:
    """The table of the figures that matter."""
    rows: list[list[str]] = []

    def add(data: str, what: str, value: str, name: str, file: str | None = None, machine: str | None = None) -> None:
        """`file` and `machine` are those of the result `name` unless given."""
        file = file or f"{RESULTS}/{name}.json"
        rows.append([data, what, value, f"[{file}](../{file})", machine or describe(results[name]["machine"])])

    def compare(
        name: str, data: str, what: str, lines: dict[str, str], column: str, unit: str, number: int = 0
    ) -> None:
        """Cells of one column, by what to call each and the row it is in."""
        found = [f"{who} {cell(name, results[name], row, column, number)}{unit}".strip() for who, row in lines.items()]
        add(data, what, "; ".join(found), name)

    def run(data: str, name: str) -> None:
        result = results[name]
        value = f"{result['seconds']:.0f} s, {result['peak_memory_mb']:.0f} MB at the peak"
        add(data, f"`dvc repro`, every stage{' up to ' + result['stage'] if result['stage'] else ''}", value, name)

    def models(data: str, name: str, metrics: Content, in_metrics: bool) -> None:
        """The quality of a run's models; `in_metrics`: of the committed run, in metrics/."""

        def measured(what: str, value: str, of: str = "evaluate") -> None:
            file = f"metrics/{of}.json" if in_metrics else None
            same = metrics[of] == results[name]["metrics"][of]
            add(data, what, value, name, file, None if same else "not recorded")

        evaluate, int8 = metrics["evaluate"], metrics["quantize"]["classifier"]
        classifier, generator, student = (evaluate[key] for key in ("classifier", "generator", "student"))
        measured(f"classifier, top-1 on {classifier['n']} test images", interval(classifier, "top1"))
        if "cat_or_other" in classifier:
            measured("classifier, cat or other", interval(classifier, "cat_or_other"))
        if "accepted_precision" in classifier:
            answered = f"{classifier['coverage']:.1%}; {interval(classifier, 'accepted_precision')}"
            measured("classifier, share of answers other than 'not sure'; share of those that are right", answered)
        features = next(key for key in generator if key.startswith("fd_")).removeprefix("fd_")
        fd = "; ".join(interval(model, f"fd_{features}", "{:.2f}".format) for model in (generator, student))
        scale = [f"{generator[f'fd_{features}_{mark}']:.3g}" for mark in ("floor", "noise")]
        measured(f"FD ({features}) of generator; student (training images {scale[0]}, noise {scale[1]})", fd)
        ways = [generator, student, *(evaluate["few_steps"][f"student_{steps}"] for steps in (2, 1))]
        shares = "; ".join(f"{way[f'fd_{features}_share']:.3f}" for way in ways)
        measured(
            "the same from 0 (training images) to 1 (noise), lower is better: generator; student in 4, in 2, in 1 step",
            shares,
        )
        if "unlike" in classifier:
            unlike = classifier["unlike"]
            told = f"{interval(unlike, 'told')}; {interval(unlike, 'unlike_test')}"
            measured("noise, blocks, gradients, text and plots that are told as unlike; test images that are too", told)
        agreement = "; ".join(interval(model, "class_agreement") for model in (generator, student))
        measured("images in which the classifier sees the requested class: generator; student", agreement)
        before, after = (f"{int8[f'bytes_{when}'] / 1e6:.1f} MB" for when in ("before", "after"))
        changed = f"{int8['top1_before']:.1%} to {int8['top1_after']:.1%}"
        measured(f"classifier in int8, {before} to {after}: top-1", changed, "quantize")

    def trained(data: str, name: str, what: str = "classifier") -> None:
        result = results[name]
        add(data, f"{what}: seconds to train it", f"{result['stage_seconds']['train_classifier']:.0f} s", name)

    def adapter(data: str, name: str) -> None:
        lines = {"10 photos:": "adapted to 10 photos", "20 photos:": "adapted to 20 photos"}
        column = "taken for Sphynx by the classifier"
        compare(name, data, "adapter for an unseen breed: images that the classifier takes for it", lines, column, "")

    committed = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "metrics").glob("*.json"))}
    title = yaml.safe_load((ROOT / "params.yaml").read_text())["publish"]["data"]["title"].split(",")[0]
    run("synthetic cats", "default")
    again = results["default"]
    add(
        "synthetic cats",
        "second `dvc repro`",
        f"{again['second_seconds']:.1f} s, {len(again['second_ran'])} stages run",
        "default",
    )
    models(title, "default", committed, True)
    adapter("synthetic cats", "adapter_default")
    run("Oxford-IIIT Pet", "oxford_pets")
    trained("Oxford-IIIT Pet", "oxford_pets")
    models("Oxford-IIIT Pet", "oxford_pets", results["oxford_pets"]["metrics"], False)
    one_epoch = results["one_epoch"]["metrics"]["evaluate"]["classifier"]
    add("Oxford-IIIT Pet", "classifier after one epoch, cat or other", interval(one_epoch, "cat_or_other"), "one_epoch")
    trained("Oxford-IIIT Pet", "one_epoch", "classifier of one epoch")
    adapter("Oxford-IIIT Pet", "adapter_oxford_pets")
    run("jersey numbers", "jersey_numbers")
    trained("jersey numbers", "jersey_numbers")
    jersey = results["jersey_numbers"]["metrics"]["evaluate"]["classifier"]
    add("jersey numbers", f"classifier, top-1 on {jersey['n']} test images", interval(jersey, "top1"), "jersey_numbers")
    for number, what in enumerate(("dit=nano, batch 16", "dit=small, batch 8")):
        lines = {"here": "ours, bf16", "diffusers": "diffusers, bf16"}
        compare("generator_step", "random", f"training step of {what}, bf16", lines, "ms a step", " ms", number)
    add_gpu(results, add, rows)
    lines = {"here": "ours, bf16", "ImageFolder and DataLoader": "ImageFolder + DataLoader (2 workers), bf16"}
    compare("classifier_epoch", "real photos", "epoch of ResNet18 at 128 px, bf16", lines, "seconds an epoch", " s")
    lines = {"all of preprocess": "preprocess", "decoding alone": "Pillow alone"}
    compare("preprocessing", "real photos", "photos a second", lines, "photos a second", "")
    lines = {"classifier": "classifier, 64 px | int8 | 1", "student, 4 steps": "fast, 64 px, 4 steps | int8 | 1"}
    compare(
        "web_page", "models of 64 px", "web page, int8, one thread: median time for an image", lines, "p50 ms", " ms"
    )
    return table(["data", "figure", "value", "file", "machine"], rows)


def add_gpu(results: dict[str, Content], add: Callable[..., None], rows: list[list[str]]) -> None:
    """The rows on gpu.py, or one that says that it was not run."""
    figures = results["gpu"]["figures"] if "gpu" in results else {}
    if not figures:
        what = "training step of dit=small, 128 px, on a GPU; teacher and student in minutes"
        rows.append(["faces", what, "not run: no GPU was at hand", "[benchmarks/gpu.py](../benchmarks/gpu.py)", "-"])
    if "speed" in figures:
        fastest = max(figures["speed"]["rows"], key=lambda row: row["images_per_second"])
        share = "" if fastest["mfu"] is None else f", {fastest['mfu']:.1%} of the peak"
        batch = f"batch {fastest['batch']}{', compiled' if fastest['compiled'] else ''}"
        value = f"{fastest['images_per_second']:.0f} img/s{share}"
        add("faces", f"training step of dit=small, 128 px, on a GPU, {batch}", value, "gpu")
    for who, part in (("teacher", "train"), ("student", "student")):
        if part in figures:
            value = f"{figures[part]['seconds']:.0f} s for {figures[part]['steps']} steps of {figures[part]['batch']}"
            add("faces", f"training the {who} on a GPU", value, "gpu")


def tables(name: str, result: Content) -> str:
    """A section on what a benchmark script measured. Its notes may show pictures of docs/."""
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
    return re.sub(r"(!\[[^]]*\]\()(?=[\w-]+\.png\))", r"\1../", "\n\n".join(parts))


def section(name: str, result: Content) -> str:
    if "tables" in result:
        return tables(name, result)
    machine, metrics = result["machine"], result["metrics"]
    what = " ".join(f"-S {override}" for override in result["overrides"]) or "params.yaml as it is"
    parts = [
        f"## {TITLES.get(name, name)}",
        f"Parameters: `{what}`"
        + (f", up to `{result['stage']}`." if result["stage"] else ".")
        + (f" {note}" if (note := result.get("note")) else "")
        + (f" Run again after a change: {', '.join(again)}." if (again := result.get("ran_again")) else ""),
        table(
            ["what", "figure"],
            [
                ["first `dvc repro`, every stage runs", f"{result['seconds']:.0f} s"],
                ["second `dvc repro`", f"{result['second_seconds']:.1f} s, {len(result['second_ran'])} stages run"],
                ["peak memory of all processes", f"{result['peak_memory_mb']:.0f} MB"],
                ["CPU time that other machines on the host took (steal)", f"{result['steal_fraction']:.0%}"],
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
        parts.append(table(["preprocess", "images"], figures.items()))
        if listed:
            parts.append(
                "Left out: " + ", ".join(f"{entry['name']} ({entry['reason']})" for entry in listed[:40]) + "."
            )
            if len(listed) > 40:
                parts.append(f"... and {len(listed) - 40} more, named in {RESULTS}/{name}.json.")
    for file in ("classifier/metrics", "evaluate", "export", "quantize"):
        if file in metrics:
            rows = [[key, show(value)] for key, value in flat(metrics[file]).items()]
            parts.append(table([f"metrics/{file}.json", "value"], rows))
    return "\n\n".join(parts)


def real_cats(result: Content) -> str:
    """What README shows first: a run on real photos."""
    seconds, machine, metrics = result["stage_seconds"], result["machine"], result["metrics"]
    classifier, kept, splits = (
        metrics["evaluate"]["classifier"],
        *(metrics["preprocess"][key] for key in ("kept", "splits")),
    )
    faces = sum(seconds[stage] for stage in ("preprocess", "train_dit", "distill")) / 60
    right, classes = f"{classifier['top1']:.1%} of {classifier['n']} test photos", len(metrics["fetch"]["classes"])
    local = any("archives" in override for override in result["overrides"])
    part = ", a part of\nthe dataset: `dvc exp run -S data=oxford_pets` takes all of it" if local else ""
    again = (
        " The stages ran at two commits: see [photos.md](docs/benchmarks/photos.md)." if result.get("ran_again") else ""
    )
    where = f"{machine['cores']} CPU cores ({machine['cpu']}, no GPU)"
    text = f"""
Both were made from {kept} real photos of cats and dogs ({splits["train"]} for training{part}), on
{where}: {result["seconds"] / 60:.0f} minutes in all, {faces:.0f} of them to find the faces, train the
generator and distil it into a student that needs four steps, {seconds["train_classifier"] / 60:.0f} for the classifier. It names
the right one of {classes} classes for {right}.{again}"""
    head = ["made by the student in four steps, a row a breed", "what the classifier says about real test photos"]
    pictures = [
        "![Faces of cats, made by the student](docs/oxford_pets-student.png)",
        "![Confusion matrix](docs/oxford_pets-confusion.png)",
    ]
    return table(head, [pictures]) + "\n" + text


def replace_in_readme(text: str) -> None:
    path = ROOT / "README.md"
    content = path.read_text()
    before, rest = content.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}")


def page(title: str, results: dict[str, Content]) -> str:
    versions = sorted(
        {f"Python {result['machine']['python']}, torch {result['machine']['torch']}" for result in results.values()}
    )
    head = f"""# {title}

Written by `python benchmarks/report.py`. [Back to the figures that matter](../benchmarks.md).

{TERMS} Versions: {"; ".join(versions)}."""
    return "\n\n".join([head, *(section(name, result) for name, result in results.items())]) + "\n"


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    results = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / RESULTS).glob("*.json"))}
    scale = results.pop("scale")
    (ROOT / "docs/scale.md").write_text(scale_page(scale, describe(scale["machine"])))
    placed = {name for _, names in PAGES.values() for name in names}
    pages = {**PAGES, OTHER[0]: (OTHER[1], [name for name in results if name not in placed])}
    overview = headline(results)
    replace_in_readme(real_cats(results["oxford_pets"]))
    shutil.rmtree(ROOT / "docs/benchmarks", ignore_errors=True)
    (ROOT / "docs/benchmarks").mkdir()
    links = []
    for file, (title, names) in pages.items():
        if found := {name: results[name] for name in names if name in results}:
            (ROOT / f"docs/benchmarks/{file}.md").write_text(page(title, found))
            links.append(f"- [{title}](benchmarks/{file}.md): {', '.join(f'{name}.json' for name in found)}")
    text = f"""# Benchmarks

The figures that matter:

{overview}

{TERMS}

This page and those below are written by `python benchmarks/report.py` from metrics/ (the committed run) and
{RESULTS}/. To measure something again, run its script in benchmarks/, then report.py.

All tables:

{chr(10).join(links)}
"""
    (ROOT / "docs/benchmarks.md").write_text(text)
    print(f"docs/benchmarks.md and {len(links)} pages in docs/benchmarks/, from {len(results)} results")


if __name__ == "__main__":
    main()
