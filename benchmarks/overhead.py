"""Seconds of a training stage before its first and after its last step: python benchmarks/overhead.py

Runs the stages with train.smoke=true in a copy of this checkout's parameters, on its data/processed (dvc repro preprocess).
Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import yaml

from machine import ROOT, machine, write_tables
from tinycats.runtime.errors import UserError, one_line_errors

RUNS = 3
# Prints the clock when the first batch is asked for and when the last step is done
CLOCK = """
import runpy, sys, time
import tinycats.learning.loop as loop
def timed(task, settings, *rest, train=loop.train):
    batch, seen = task.batch, []
    def first(step):
        if not seen:
            print('CLOCK', time.time())
        seen.append(step)
        return batch(step)
    task.batch = first
    done = train(task, settings, *rest)
    print('CLOCK', time.time())
    return done
loop.train = timed
runpy.run_path(sys.argv[1], run_name='__main__')
"""


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    if not (ROOT / "data/processed/classes.json").exists():
        raise UserError("data/processed: not there; run `dvc repro preprocess` first")
    before = machine()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["train"]["smoke"] = True
        (Path(scratch) / "params.yaml").write_text(yaml.safe_dump(params))
        (Path(scratch) / "data").symlink_to(ROOT / "data")
        for stage in ("train_classifier", "train_evaluator", "train_dit"):
            command = [sys.executable, "-c", CLOCK, str(ROOT / f"stages/{stage}.py")]
            starts, ends = [], []
            for _ in range(RUNS):
                begun = time.time()
                done = subprocess.run(
                    command, cwd=scratch, env=os.environ, stdout=subprocess.PIPE, text=True, check=True
                )
                first, last = (float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("CLOCK"))
                starts.append(first - begun)
                ends.append(time.time() - last)
            rows.append([stage, f"{median(starts):.1f}", f"{median(ends):.1f}"])
    head = ["stage", "s from the start to the first step", "s from the last step to the exit"]
    notes = f"Median of {RUNS} runs of ten steps. The last state is written before the second clock starts."
    write_tables("overhead", before, notes, [{"head": head, "rows": rows}])


if __name__ == "__main__":
    with one_line_errors():
        main()
