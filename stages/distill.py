"""Distil the generator: data/processed, models/generator -> models/generator_fast, metrics/distill."""

from pathlib import Path

from tinycats.compute.job import Job
from tinycats.compute.run import run
from tinycats.errors import one_line_errors
from tinycats.models.tinydit import TinyDiT
from tinycats.params import load_params
from tinycats.training.distillation_job import distill_generator
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    state = Path(".tinycats")
    job = Job(
        stage="distill",
        function=distill_generator,
        inputs={"processed": Path("data/processed"), "teacher_dir": Path("models/generator")},
        outputs={"output": Path("models/generator_fast"), "metrics": Path("metrics/distill")},
        checks={"output": TinyDiT.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "seed": params.seed,
            "mirror": params.data.mirror,
            "guidance": params.sampler.guidance,
            "guidance_low": params.sampler.guidance_low,
            "guidance_high": params.sampler.guidance_high,
            **params.distill.model_dump(),
            **run_settings(params, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
