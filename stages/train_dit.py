"""Train the generator: data/processed/VIEW -> models/generator, metrics/generator."""

from pathlib import Path

from tinycats.generator.network import TinyDiT
from tinycats.generator.training import train_generator
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.params import load_params
from tinycats.runtime.run_settings import run_settings


def main() -> None:
    params, state = load_params(Path("params.yaml")), Path(".tinycats")
    job = Job(
        stage="train_dit",
        function=train_generator,
        inputs={"processed": Path("data/processed", params.dit.view)},
        outputs={"output": Path("models/generator"), "metrics": Path("metrics/generator")},
        checks={"output": TinyDiT.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "seed": params.seed,
            "mirror": params.mirror,
            "network": params.dit,
            "training": params.train,
            "run": run_settings(params.compute, params.logging, params.monitor.train_dit, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
