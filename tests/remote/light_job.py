"""A job that behaves like a training run and weighs nothing. The tests put it into a copy of the package."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run as run_job
from tinycats.runtime.earlier_runs import link_earlier
from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.files import atomic_path, read_json, write_json
from tinycats.runtime.params import load_params
from tinycats.runtime.run_settings import RunSettings


def count(
    *,
    source: Path,
    table: Path,
    output: Path,
    figures: Path,
    run: RunSettings,
    steps: int,
    step_s: float,
    refuse: str,
    omit: str,
    gate: str,
) -> None:
    """Count to `steps`, and on until the file `gate` exists, with a checkpoint for each; then copy the inputs.

    Raises UserError with `refuse` where that says something.
    """
    if refuse:
        raise UserError(refuse)
    stopped = []
    signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    directory = run.runs / "light-0"
    directory.mkdir(parents=True, exist_ok=True)
    link_earlier(directory)
    done = max((read_json(path) for path in directory.glob("checkpoint-*.pt")), default=0)
    print(f"light: resumes from step {done}", flush=True)
    while (done < steps or (gate and not Path(gate).exists())) and not stopped:
        done += 1
        time.sleep(step_s)
        with atomic_path(directory / f"checkpoint-{done:09d}.pt") as temporary:
            temporary.write_text(str(done))
        for path in sorted(directory.glob("checkpoint-*.pt"))[:-2]:
            path.unlink()
    if stopped:
        print(f"light: stopped by SIGTERM after step {done}", flush=True)
        raise SystemExit(143)
    output.mkdir()
    for path in source.iterdir():
        if path.name != omit:
            (output / path.name).write_bytes(path.read_bytes() + table.read_bytes())
    write_json(figures, {"done": done})


def check(path: Path) -> None:
    if not (path / "a").exists():
        raise UserError(f"{path}: has no a")


def light_job(*, run: dict[str, Any] | None = None, **arguments: Any) -> Job:
    """The job with these arguments; `run` are RunSettings."""
    return Job(
        stage="train_dit",
        function=count,
        inputs={"source": Path("source"), "table": Path("table.csv")},
        outputs={"output": Path("models/light"), "figures": Path("metrics/light.json")},
        checks={"output": check},
        state=Path(".tinycats"),
        arguments={
            "run": RunSettings(Path(".tinycats/runs"), **(run or {})),
            "steps": 3,
            "step_s": 0.1,
            "refuse": "",
            "omit": "",
            "gate": "",
            **arguments,
        },
    )


def main(arguments: dict[str, Any]) -> None:
    Path("source").mkdir(exist_ok=True)
    Path("source/a").write_text("a")
    Path("source/b").write_text("b" * 5_000_000)  # large enough for blob storage
    Path("table.csv").write_text("1,2\n")
    run_job(load_params(Path("params.yaml")).compute, light_job(**arguments))


if __name__ == "__main__":
    with one_line_errors():
        import tinycats.light_job

        tinycats.light_job.main(json.loads(sys.argv[1]))
