"""Time and memory of the pipeline's stages by the number of photos: is it linear, and what does one machine bear?

    python benchmarks/scale.py 1000 3000 30000 --work /tmp/scale
    python benchmarks/scale.py 30000 300000 --work /tmp/scale --until preprocess \\
        --set preprocess.features=null preprocess.near_duplicates=report
    python benchmarks/scale.py --work /tmp/scale --folders 300 30000

Draws so many photos of 128 px, no two of them copies, into a tar, and runs the stages in a fresh clone of the committed code, one
after the other. Writes benchmarks/results/scale.json after each; what is there is not measured again, and a size that was broken
off goes on where it was. --folders measures what it costs DVC to see that nothing is to do where so many photos are files in a
folder, and not in a tar. `python benchmarks/report.py` makes docs/scale.md of all of it.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageChops

from machine import ROOT, machine, write_result
from measure import measured
from tinycats.runtime.files import atomic_path
from tinycats.runtime.parallel import map_in_order
from tinycats.sources.synthetic import CLASSES, render

SIDE_PX = 128
DRAWINGS = 20  # of each class, of which all photos are made
STAGES = ("fetch", "preprocess", "train_classifier", "train_dit", "distill", "evaluate")
NOTHING_TO_DO = ("dvc status", "dvc repro, nothing to do")
READY = ".ready"  # in a clone that has its parameters
FOLDER_STAGE = "stages:\n  read:\n    cmd: echo read > out\n    deps: [photos]\n    outs: [out]\n"
SETTINGS = (
    "data=image_folder", "classifier=resnet18", "classifier.epochs=1", "train.steps=100", "train.batch_size=16",
    "distill.steps=8", "sampler.steps=8", "evaluate.samples_per_class=8", "evaluate.bootstrap=50", "evaluate.latency_runs=3",
    "evaluate.features=tf_efficientnet_lite0",
)  # fmt: skip


def class_sizes(count: int) -> list[int]:
    """Unequal: the k-th class has a k-th of the first one's photos."""
    shares = 1 / np.arange(1, len(CLASSES) + 1)
    sizes = np.floor(count * shares / shares.sum()).astype(int)
    sizes[0] += count - sizes.sum()
    return [int(size) for size in sizes]


def varied(which: tuple[int, int], drawings: list[list[Image.Image]]) -> bytes:
    """Photo `number` of class `label` as a JPEG: a drawing turned and moved, in a light and before stains of its own."""
    label, number = which
    rng = np.random.default_rng([label, number])
    drawing = drawings[label][int(rng.integers(DRAWINGS))]
    angle, zoom = rng.uniform(-0.2, 0.2), rng.uniform(0.75, 1.05)
    cos, sin, middle = zoom * np.cos(angle), zoom * np.sin(angle), SIDE_PX / 2
    x, y = middle + rng.uniform(-8, 8, 2)
    matrix = (cos, sin, x - middle * (cos + sin), -sin, cos, y - middle * (cos - sin))
    image = drawing.transform(drawing.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor="grey")
    for side, least in ((4, 150), (24, 190)):  # large stains change the colours, small ones the details
        stains = Image.fromarray(rng.integers(least, 256, (side, side, 3), dtype=np.uint8))
        image = ImageChops.multiply(image, stains.resize(image.size, Image.Resampling.BILINEAR))
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85)
    return file.getvalue()


def draw(count: int, path: Path) -> None:
    """Write `count` photos as class/number.jpg into a tar."""
    drawings = [[Image.fromarray(render(name, number, 0, SIDE_PX)) for number in range(DRAWINGS)] for name in CLASSES]
    which = [(label, number) for label, size in enumerate(class_sizes(count)) for number in range(size)]
    with atomic_path(path) as temporary, tarfile.open(temporary, "w") as tar:
        photos = map_in_order(partial(varied, drawings=drawings), which)
        for (label, number), content in zip(which, photos, strict=True):
            member = tarfile.TarInfo(f"{CLASSES[label]}/{number:07d}.jpg")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
            tar.members.clear()  # type: ignore[attr-defined]  # else they pile up in memory


def clone_with(photos: Path, clone: Path, env: dict[str, str], overrides: list[str]) -> str:
    """A clone of the committed code with the parameters of this measurement. Returns its commit."""
    if not (clone / READY).exists():
        shutil.rmtree(clone, ignore_errors=True)
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        command = ["tinycats", "params", *SETTINGS, f"data.path={photos}", *overrides]
        subprocess.run(command, cwd=clone, env=env, check=True)
        (clone / READY).touch()
    return subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], cwd=clone, text=True).strip()


def label(count: int, overrides: list[str]) -> str:
    """What the results call a size with these parameters."""
    return " ".join([str(count), *overrides])


def measure(count: int, work: Path, until: str, overrides: list[str], result: dict[str, Any]) -> None:
    """Run what of this size is not in `result` yet, and write it after each stage."""
    photos, clone, key = work / f"photos-{count}.tar", work / f"clone-{count}", label(count, overrides)
    size = result["sizes"].get(key, {"stages": {}})
    same = size.get("until") == until
    if same and all(name in size["stages"] for name in (*STAGES[: STAGES.index(until) + 1], *NOTHING_TO_DO)):
        print(f"{key}: done before")
        return
    if not same or not (clone / READY).exists():  # else it goes on where it was
        shutil.rmtree(clone, ignore_errors=True)
        size = {"stages": {}}
    result["sizes"][key] = size
    missing = [name for name in (*STAGES[: STAGES.index(until) + 1], *NOTHING_TO_DO) if name not in size["stages"]]
    env = {
        **os.environ,
        "PYTHONPATH": str(clone / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    if not photos.exists():
        work.mkdir(parents=True, exist_ok=True)
        draw(count, photos)
    size |= {"count": count, "tar_mb": round(photos.stat().st_size / 1e6), "overrides": overrides, "until": until}
    size["commit"] = clone_with(photos, clone, env, overrides)
    dvc = [sys.executable, "-m", "dvc"]
    for name in missing:
        # --force: metrics that are in git may come out as they were
        commands = dict(zip(NOTHING_TO_DO, (["status"], ["repro", until]), strict=True))
        command = commands.get(name, ["repro", "--single-item", "--force", name])
        size["stages"][name] = measured([*dvc, *command], clone, env)
        for folder in ("raw", "processed"):
            files = [path.stat().st_size for path in (clone / "data" / folder).rglob("*") if path.is_file()]
            size[f"{folder}_mb"] = round(sum(files) / 1e6)
        print(key, name, size["stages"][name], flush=True)
        write_result("scale", result)
    shutil.rmtree(clone)
    photos.unlink()


def measure_folder(count: int, work: Path, result: dict[str, Any]) -> None:
    """What `dvc repro` takes that finds nothing to do, where a stage watches a folder of so many small files."""
    if str(count) in result["folders"]:
        print(f"folder of {count}: done before")
        return
    project = work / f"folder-{count}"
    shutil.rmtree(project, ignore_errors=True)
    for number in range(count):
        path = project / f"photos/{number % len(CLASSES)}/{number:07d}.jpg"
        if number < len(CLASSES):
            path.parent.mkdir(parents=True)
        path.write_text(str(number))
    (project / "dvc.yaml").write_text(FOLDER_STAGE)
    dvc, env = [sys.executable, "-m", "dvc"], dict(os.environ)
    for command in (["git", "init", "--quiet"], [*dvc, "init", "--quiet"], [*dvc, "repro"]):
        subprocess.run(command, cwd=project, check=True)
    result["folders"][str(count)] = measured([*dvc, "repro"], project, env)
    print(count, "in a folder", result["folders"][str(count)], flush=True)
    write_result("scale", result)
    shutil.rmtree(project)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("counts", nargs="*", type=int, metavar="COUNT", help="of photos")
    parser.add_argument("--work", type=Path, required=True, help="a folder for photos and clones: 40 GB for a million")
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="the last stage")
    parser.add_argument(
        "--set", nargs="*", default=[], dest="overrides", help="parameters, as `tinycats params` takes them"
    )
    parser.add_argument("--folders", nargs="*", type=int, default=[], metavar="COUNT", help="of files")
    parser.add_argument("--again", action="store_true", help="measure these sizes again")
    arguments = parser.parse_args()
    path = ROOT / "benchmarks/results/scale.json"
    result = json.loads(path.read_text()) if path.exists() else {"machine": machine(), "sizes": {}, "folders": {}}
    result["settings"] = list(SETTINGS)
    for count in arguments.counts:
        if arguments.again:
            result["sizes"].pop(label(count, arguments.overrides), None)
        measure(count, arguments.work.resolve(), arguments.until, arguments.overrides, result)
    for count in arguments.folders:
        measure_folder(count, arguments.work.resolve(), result)


if __name__ == "__main__":
    main()
