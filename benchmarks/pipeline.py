"""Time, memory and metrics of one run of the pipeline, in a fresh clone of the committed code.

    python benchmarks/pipeline.py default
    python benchmarks/pipeline.py oxford_pets data=oxford_pets data.archives.images=PATH ...
    python benchmarks/pipeline.py jersey_numbers --stage train_classifier data=jersey_numbers data.path=PATH

With --again, a clone that such a run was made in takes what was committed since, and runs the stages that this changes; the
others' seconds are those of that run.

Writes benchmarks/results/NAME.json, and of a whole run other than the default pictures that show no photo, docs/NAME-*.png;
`python benchmarks/report.py` makes docs/benchmarks.md of all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import torch

from machine import ROOT, machine, write_result
from measure import MemoryMeter
from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_split
from tinycats.evaluation.classification import classification_metrics
from tinycats.evaluation.inference import predict

PICTURES = ("student", "confusion")


def repro(clone: Path, env: dict[str, str], *arguments: str) -> tuple[float, dict[str, float]]:
    """Run `dvc repro`; return its seconds, and those of every stage that was run."""
    started = time.monotonic()
    stages: dict[str, float] = {}
    current, since = "", started
    command = [sys.executable, "-u", "-m", "dvc", "repro", *arguments]
    with subprocess.Popen(
        command, cwd=clone, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if found := re.match(r"Running stage '(\w+)'", line):
                if current:
                    stages[current] = time.monotonic() - since
                current, since = found[1], time.monotonic()
    if current:
        stages[current] = time.monotonic() - since
    if process.returncode:
        print(f"dvc repro ended with exit code {process.returncode}", file=sys.stderr)
    return time.monotonic() - started, stages


def load(directory: Path) -> dict[str, Any]:
    """Every metrics file below `directory`, by its path without .json."""
    return {
        str(path.relative_to(directory).with_suffix("")): json.loads(path.read_text())
        for path in sorted(directory.rglob("*.json"))
    }


def classifier_on_test(clone: Path) -> dict[str, Any]:
    """What the stage evaluate says of the classifier, where the run ends before it."""
    classifier = Classifier.from_pretrained(clone / "models/classifier").eval()
    test = load_split(clone / "data/processed/photo", "test", classifier.config.image_size)
    probabilities, _ = predict(classifier, test.images, torch.device("cpu"))
    return classification_metrics(probabilities, test.labels, classifier.config.classes, classifier.config.other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("overrides", nargs="*", help="as `tinycats params` takes them")
    parser.add_argument("--stage", help="stop after this stage")
    parser.add_argument(
        "--note", default="", help="a sentence for the table: what else ran on the machine, for example"
    )
    parser.add_argument("--clone", type=Path, help="where to clone to (default: a temporary directory)")
    parser.add_argument("--again", action="store_true", help="go on in --clone with the code that is committed now")
    arguments = parser.parse_intermixed_args()
    if arguments.again and not arguments.clone:
        parser.error("--again needs --clone")
    earlier: dict[str, Any] = {}
    clone = (arguments.clone or Path(tempfile.mkdtemp(prefix="tinycats-"))).resolve()
    if arguments.again:
        earlier = json.loads((ROOT / f"benchmarks/results/{arguments.name}.json").read_text())
        subprocess.run(["git", "fetch", "--quiet", str(ROOT), "HEAD"], cwd=clone, check=True)
        kept = (":!dvc.lock", ":!metrics")  # they tell DVC what need not be run
        subprocess.run(["git", "reset", "--quiet", "--soft", "FETCH_HEAD"], cwd=clone, check=True)
        subprocess.run(["git", "checkout", "--no-overlay", "HEAD", "--", ".", *kept], cwd=clone, check=True)
    else:
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    env = {
        **os.environ,
        "PYTHONPATH": str(clone / "src"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    subprocess.run(["tinycats", "params", *arguments.overrides], cwd=clone, env=env, check=True)
    result: dict[str, Any] = {
        "overrides": [re.sub(r"=.*/", "=", override) for override in arguments.overrides],  # no local paths
        "stage": arguments.stage,
        "note": arguments.note,
        "machine": machine(),
    }
    meter = MemoryMeter()
    meter.start()
    before = psutil.cpu_times()
    targets = [arguments.stage] if arguments.stage else []
    # --force: else a stage whose metrics are in git and whose inputs come out as they were is not run
    result["seconds"], ran = repro(clone, env, *([] if arguments.again else ["--force"]), *targets)
    result["stage_seconds"] = ran
    if arguments.again:
        result["ran_again"] = sorted(ran)
        result["stage_seconds"] = earlier["stage_seconds"] | ran
        result["seconds"] = sum(result["stage_seconds"].values())
    after = psutil.cpu_times()
    meter.stopped.set()
    elapsed = sum(after) - sum(before)
    result["steal_fraction"] = (after.steal - before.steal) / elapsed  # what other machines took of this one's cores
    result["peak_memory_mb"] = max(meter.peak_bytes / 2**20, earlier["peak_memory_mb"] if arguments.again else 0)
    result["second_seconds"], again = repro(clone, env, *targets)
    result["second_ran"] = sorted(again)
    result["metrics"] = {
        name: content
        for name, content in load(clone / "metrics").items()
        if isinstance(content, dict)  # what plots are drawn from is a list
        and (not arguments.stage or name.split("/")[0] in ("fetch", "preprocess", "classifier"))
    }
    if arguments.stage == "train_classifier":
        result["metrics"]["evaluate"] = {"classifier": classifier_on_test(clone)}
    if not arguments.stage and arguments.name != "default":
        for picture in PICTURES:
            shutil.copyfile(clone / f"metrics/evaluate/{picture}.png", ROOT / f"docs/{arguments.name}-{picture}.png")
    print(f"{arguments.name}: {result['seconds']:.0f} s; again: {result['second_seconds']:.1f} s")
    write_result(arguments.name, result)


if __name__ == "__main__":
    main()
