"""Distil the generator: data/processed/VIEW, models/generator -> models/student, metrics/distill."""

from pathlib import Path

from tinycats.distillation.training import distill_generator
from tinycats.generator.network import TinyDiT
from tinycats.generator.sampler import teacher_sampler
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import load_params
from tinycats.runtime.run_settings import run_settings


def main() -> None:
    params, state = load_params(Path("params.yaml")), Path(".tinycats")
    job = Job(
        stage="distill",
        function=distill_generator,
        inputs={"processed": Path("data/processed", params.dit.view), "teacher": Path("models/generator")},
        outputs={"output": Path("models/student"), "metrics": Path("metrics/distill")},
        checks={"output": TinyDiT.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "seed": params.seed,
            "mirror": params.mirror,
            "guidance": teacher_sampler(params.sampler),
            "training": params.distill,
            "run": run_settings(params.compute, params.logging, params.monitor.distill, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
