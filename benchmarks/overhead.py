"""What a training run costs besides its steps: how long a stage takes to start and to end, and what checkpoints take.

    python benchmarks/overhead.py [--steps 1200] [OVERRIDES...]      (data/processed is read: dvc repro preprocess)

The stages run with train=smoke; then the generator is trained as conf/ and the overrides say. All of it in a scratch directory.
Writes benchmarks/results/overhead.json.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

from machine import ROOT, machine, seconds, write_tables
from tinycats.commands.params import compose
from tinycats.generator.training import train_generator
from tinycats.learning import run_task
from tinycats.runtime.checkpoints import Checkpoints
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.run_settings import CHECKPOINT_SHARE, run_settings
from training import composed

RUNS = 3
# Prints the clock when the first batch is asked for and when the last step is done
CLOCK = """
import runpy, sys, time
import tinycats.learning.run_task as run_task
def timed(task, *rest, train=run_task.train):
    batches = task.batches
    def first(*arguments):
        print('CLOCK', time.time())
        return batches(*arguments)
    task.batches = first
    done = train(task, *rest)
    print('CLOCK', time.time())
    return done
run_task.train = timed
runpy.run_path(sys.argv[1], run_name='__main__')
"""


def start_and_end(stage: str, overrides: list[str]) -> tuple[float, float]:
    """Seconds of one run of a stage before its first and after its last step."""
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch, "params.yaml").write_text(compose(ROOT, [*overrides, "train=smoke"]))
        Path(scratch, "data").symlink_to(ROOT / "data")
        command = [sys.executable, "-c", CLOCK, str(ROOT / f"stages/{stage}.py")]
        begun = time.time()
        done = subprocess.run(command, cwd=scratch, stdout=subprocess.PIPE, text=True, check=True)
        ended = time.time()
    first, last = (float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("CLOCK"))
    return first - begun, ended - last


def noting(noted: list[float], function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, with the seconds of each call noted."""

    @wraps(function)
    def timed(*arguments: Any, **named: Any) -> Any:
        result: list[Any] = []
        noted.append(seconds(lambda: result.append(function(*arguments, **named))))
        return result[0]

    return timed


def checkpoint_rows(overrides: list[str], steps: int | None) -> tuple[str, list[list[str]]]:
    """A generator's run and what its checkpoints took: what the run waited for them, and copying and writing together."""
    params = composed(*overrides)
    training = params.train.model_copy(update={"steps": steps or params.train.steps})
    whole: list[float] = []
    waited: list[float] = []
    written: list[float] = []
    with (
        tempfile.TemporaryDirectory() as scratch,
        patch.object(run_task, "train", noting(whole, run_task.train)),
        patch.object(Checkpoints, "save", noting(waited, Checkpoints.save)),
        patch.object(RunDirectory, "save", noting(written, RunDirectory.save)),
    ):
        out = Path(scratch)
        train_generator(
            ROOT / "data/processed/photo", out / "generator", out / "metrics", seed=params.seed, mirror=params.mirror,
            network=params.dit, training=training,
            run=run_settings(params.compute, params.logging, params.monitor.train_dit, out),
        )  # fmt: skip
    # The run waits for all of the last one; of those on the way, for the copy and for one that is not written yet
    both = [wait + write for wait, write in zip(waited[:-1], written[:-1], strict=True)] + waited[-1:]
    rows = [
        [name, str(len(waits)), f"{sum(waits):.2f}", f"{sum(waits) / whole[0]:.2%}", f"{sum(all_of_it):.2f}",
         f"{sum(all_of_it) / whole[0]:.2%}"]
        for name, waits, all_of_it in (("on the way", waited[:-1], both[:-1]), ("with the last", waited, both))
    ]  # fmt: skip
    head = (
        f"train_dit, width {params.dit.width}, batch {training.batch_size}, {training.steps} steps in {whole[0]:.0f} s"
    )
    return head, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="as `tinycats params` takes them")
    parser.add_argument("--steps", type=int, help="of the generator whose checkpoints are timed (default: as in conf/)")
    parser.add_argument("--runs", type=int, default=RUNS, help="of each stage with train=smoke")
    arguments = parser.parse_intermixed_args()
    if not (ROOT / "data/processed/photo/classes.json").exists():
        raise UserError("data/processed: not there; run `dvc repro preprocess` first")
    before = machine()
    rows = []
    for stage in ("train_classifier", "train_dit"):
        times = [start_and_end(stage, arguments.overrides) for _ in range(arguments.runs)]
        rows.append([stage, *(f"{median(column):.1f}" for column in zip(*times, strict=True))])
    head = ["stage", "s from the start to the first step", "s from the last step to the exit"]
    run, checkpoints = checkpoint_rows(arguments.overrides, arguments.steps)
    checkpoint_head = [run, "checkpoints", "s waited for", "share", "s of copying and writing", "share"]
    notes = (
        f"Stages: median of {arguments.runs} runs of ten steps; the last checkpoint is written before the second clock starts. "
        "Checkpoints: written in a thread, from a copy, while training goes on. What they cost lies between what the run waited "
        f"and what copying and writing took, which the loop holds below {CHECKPOINT_SHARE:.0%} on the way; the last one is "
        "written when training is over."
    )
    tables = [{"head": head, "rows": rows}, {"head": checkpoint_head, "rows": checkpoints}]
    write_tables("overhead", before, notes, tables)


if __name__ == "__main__":
    with one_line_errors():
        main()
