"""docs/scale.md: what benchmarks/scale.py measured, and what follows from it for one machine and for more than one."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined

from scale import DRAWINGS, NOTHING_TO_DO, SIDE_PX, STAGES
from tinycats.classifier import calibration
from tinycats.evaluation import job
from tinycats.export import quantize_job
from tinycats.inspection import features, label_errors, near_duplicates, outliers

Content = dict[str, Any]
TEMPLATE = Path(__file__).with_name("scale.md.jinja")
WANTED = (3_000, 30_000, 300_000)
IMAGINED = (1_000_000, 100_000_000)
FOLDER_FILES = 300_000
# Time by times the data, memory beyond the smallest size, a no-op
MOST_TIMES, MOST_MORE_MB, MOST_SECONDS = 1.1, 1536, 5
TRAIN_SHARE, TEST_SHARE = 0.75, 0.15  # of the photos, by conf/
# An assumption, to be compared with today's list; GPUs are in conf/compute/modal.yaml
USD_PER_CORE_HOUR, PRICE_OF = 0.0473, "2025"
FREE_SHARE = 0.2  # of the memory, left to others


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = ["| " + " | ".join(head) + " |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    return "\n".join([*lines, *("| " + " | ".join(str(cell) for cell in row) + " |" for row in rows)])


def by_count(result: Content, stage: str, overrides: Sequence[str] = ()) -> dict[int, Content]:
    """The measurements of a stage by the number of photos, ascending; those with other parameters are left out."""
    found = {
        size["count"]: size["stages"][stage]
        for size in result["sizes"].values()
        if stage in size["stages"] and size["overrides"] == list(overrides)
    }
    return dict(sorted(found.items()))


def with_parameters(what: str, overrides: Sequence[str]) -> str:
    return what + (f", {', '.join(overrides)}" if overrides else "")


def slope(measured: dict[int, Content], what: str) -> float | None:
    """How much a photo more takes, from the two largest sizes; None where there is only one."""
    if len(measured) < 2:
        return None
    (few, small), (many, large) = list(measured.items())[-2:]
    return max((large[what] - small[what]) / (many - few), 0.0)


def overview(result: Content) -> str:
    sizes = sorted(result["sizes"].values(), key=lambda size: (size["overrides"], size["count"]))

    def cell(size: Content, stage: str) -> str:
        if stage not in size["stages"]:
            return "-"
        cost = size["stages"][stage]
        return f"{cost['cpu_seconds']:.3g} s ({cost['seconds']:.3g} s), {cost['peak_memory_mb']} MB"

    return table(
        ["", *(with_parameters(f"{size['count']:,} photos", size["overrides"]) for size in sizes)],
        [[stage, *(cell(size, stage) for size in sizes)] for stage in (*STAGES, *NOTHING_TO_DO)],
    )


def verdicts(result: Content) -> str:
    rows = []
    others = sorted({tuple(size["overrides"]) for size in result["sizes"].values()} - {()})
    for overrides, stage in itertools.product([(), *others], STAGES):
        measured = by_count(result, stage, overrides)
        if len(measured) < 2:
            if not overrides:
                rows.append([stage, "open", "open"])
            continue
        (few, small), (many, large) = list(measured.items())[-2:]
        least = next(iter(measured))
        times, data = large["cpu_seconds"] / small["cpu_seconds"], many / few
        more = large["peak_memory_mb"] - measured[least]["peak_memory_mb"]
        linear = held(times <= MOST_TIMES * data)
        rows.append([
            with_parameters(stage, overrides), f"{times:.1f} times for {data:.3g} times the data: {linear}",
            f"{more} MB more at {many:,} than at {least:,}: {held(more <= MOST_MORE_MB)}",
        ])  # fmt: skip
    for name in NOTHING_TO_DO:
        sizes = {size["count"]: size["stages"][name] for size in result["sizes"].values() if name in size["stages"]}
        if sizes:
            count = max(sizes)
            seconds = sizes[count]["cpu_seconds"]
            verdict = held(seconds <= MOST_SECONDS) + (f"; open at {WANTED[-1]:,}" if count < WANTED[-1] else "")
            rows.append([name, f"{seconds:.1f} s of CPU at {count:,}: {verdict}", ""])
    return table(["", "CPU time", "memory"], rows)


def held(whether: bool) -> str:
    return "held" if whether else "**not held**"


def imagined(result: Content) -> str:
    """Hours and dollars of sizes that nobody measured."""
    cores = result["machine"]["cores"]
    rows = []
    for stage in STAGES:
        measured = by_count(result, stage)
        each = slope(measured, "cpu_seconds")
        if each is None or (stage == "evaluate" and max(measured) < evaluate_bound()):
            rows.append([stage, "unknown", *["unknown"] * len(IMAGINED)])
            continue
        count, cost = list(measured.items())[-1]
        if stage == "evaluate":
            each = 0.0
        cells = []
        for wanted in IMAGINED:
            hours = (cost["cpu_seconds"] + each * (wanted - count)) / 3600
            cells.append(f"{hours / cores:,.1f} h; {hours:,.1f} core hours, ${hours * USD_PER_CORE_HOUR:,.2f}")
        rows.append([stage, f"{1000 * each:.2f} ms", *cells])
    return table(["", "CPU time a photo", *(f"{count:,} photos" for count in IMAGINED)], rows)


def evaluate_bound() -> int:
    """The number of photos from which on evaluate takes samples of all."""
    return round(max(job.TRAINING_IMAGES / TRAIN_SHARE, job.TEST_IMAGES / TEST_SHARE))


def memory(result: Content) -> str:
    rates = {stage: each for stage in STAGES if (each := slope(by_count(result, stage), "peak_memory_mb")) is not None}
    if not rates:
        return "How memory grows is unknown until two sizes were measured."
    stage = max(rates, key=rates.__getitem__)
    each, (count, cost) = rates[stage], list(by_count(result, stage).items())[-1]
    if not each:
        return "Memory did not grow from one size to the next."
    gb = result["machine"]["memory_gb"]
    room = count + ((1 - FREE_SHARE) * 1024 * gb - cost["peak_memory_mb"]) / each
    return (
        f"Memory grows most in {stage}: by {1e6 * each / 1024:.1f} GB for a million photos. In {gb} GB, a fifth of it left free, "
        f"there is room for about {room / 1e6:.1f} million."
    )


def disk(result: Content) -> str:
    sized = {size["count"]: size for size in result["sizes"].values() if size.get("processed_mb")}
    if not sized:
        return "The disk that photos take was not measured."
    count = max(sized)
    tar, raw, processed = (sized[count][f"{name}_mb"] for name in ("tar", "raw", "processed"))
    gb = (tar + 2 * raw + 2 * processed) / count * 1e6 / 1000
    return (
        f"On disk, {count:,} photos are {tar} MB as they come, {raw} MB in data/raw, {processed} MB in data/processed (64 px); "
        f"DVC's cache holds the latter two again: {gb:,.0f} GB for a million. While preprocess writes, it takes the space of "
        "data/processed once more."
    )


def folders(result: Content) -> str:
    found = {int(count): cost["cpu_seconds"] for count, cost in result["folders"].items()}
    if len(found) < 2:
        return "What a folder costs in place of a tar was not measured."
    few, many = min(found), max(found)
    if found[many] > found[few]:
        at = found[few] + (found[many] - found[few]) / (many - few) * (FOLDER_FILES - few)
        means = f"by which it is about {at:.0f} s for {FOLDER_FILES:,}"
    else:
        means = "which differ by chance alone: more files are to be measured"
    return (
        f"That is with the photos in one tar (or zip). Of a folder DVC looks at every file each time: {found[few]:.1f} s of CPU "
        f"for a stage that watches {few:,} files, {found[many]:.1f} s for {many:,}, {means}. So pack more than a hundred "
        "thousand photos: `tar cf photos.tar photos`."
    )


def missing(result: Content) -> list[str]:
    gaps = []
    for count in WANTED:
        size = result["sizes"].get(str(count), {"stages": {}, "overrides": []})
        lacking = [stage for stage in (*STAGES, *NOTHING_TO_DO) if stage not in size["stages"]]
        if lacking:
            gaps.append(
                f"{count:,} photos with these settings: {', '.join(lacking) if size['stages'] else 'every stage'}"
            )
            if NOTHING_TO_DO[0] in size["stages"]:
                gaps.append(f"{count:,} photos: {' and '.join(NOTHING_TO_DO)} after more stages than {size['until']}")
    return gaps


def limits() -> list[tuple[str, str, str]]:
    """What is computed of how many images, as the code has it."""
    near, groups = (
        near_duplicates.NEIGHBOURS,
        f"{near_duplicates.GROUPINGS} groupings of {near_duplicates.GROUP:,} each",
    )
    probed, compared = f"{label_errors.TRAINED_ON:,}", f"{outliers.COMPARED_WITH:,}"
    probes = label_errors.TRAINED_ON * label_errors.FOLDS // (label_errors.FOLDS - 1)
    evaluated = f"{job.TEST_IMAGES:,} test and {job.TRAINING_IMAGES:,} training photos"
    return [
        (
            "near-duplicates: what is compared pixel by pixel",
            f"{near_duplicates.ALL_PAIRS:,} photos: the {near} most similar of all",
            f"the {near} most similar in {groups}; few copies are missed (tests/unit/test_many_images.py)",
        ),
        (
            "features that preprocess compares",
            f"{features.IN_FULL:,} photos: in full",
            f"in the {features.DIMS} dimensions in which those of {features.SAMPLE:,} photos vary most",
        ),
        (
            "likely wrong labels",
            f"{probes:,} photos: probes of all others",
            f"probes of {probed} others, which judge every photo",
        ),
        (
            "outliers",
            f"{compared} photos of a class: the nearest of all",
            f"the nearest of {compared}, for every photo",
        ),
        (
            "the classifier's distance to its training photos",
            f"{calibration.TRAINING_IMAGES:,} of them: fitted on all",
            "fitted on a sample of as many, with every class",
        ),
        ("evaluate", f"{evaluated}: all", "samples of as many; `images` in metrics/evaluate.json says of how many"),
        ("quantize", f"{quantize_job.TEST_IMAGES:,} test photos: all", "a sample of as many"),
    ]


def scale_page(result: Content, machine: str) -> str:
    """The page. `machine`: the machine in words."""
    loads = [cost["load"] for size in result["sizes"].values() for cost in size["stages"].values()]
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True)
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        side_px=SIDE_PX,
        drawings=DRAWINGS,
        settings="\n".join(result["settings"]),
        missing=missing(result),
        machine=machine,
        load=f"{min(loads):.0f} to {max(loads):.0f}" if loads else "not noted",
        overview=overview(result),
        note=result.get("note"),
        most_more_gb=MOST_MORE_MB / 1024,
        most_seconds=MOST_SECONDS,
        verdicts=verdicts(result),
        folders=folders(result),
        limits=limits(),
        evaluate_bound=f"{evaluate_bound():,}",
        memory=memory(result),
        disk=disk(result),
        cores=result["machine"]["cores"],
        usd=USD_PER_CORE_HOUR,
        price_of=PRICE_OF,
        imagined=imagined(result),
    )
