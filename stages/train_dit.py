"""Train the generator: data/processed -> models/generator, metrics/generator."""

from pathlib import Path

from tinycats.compute.job import Job
from tinycats.compute.run import run
from tinycats.errors import one_line_errors
from tinycats.models.tinydit import TinyDiT
from tinycats.params import load_params
from tinycats.training.generator_job import train_generator
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    state = Path(".tinycats")
    job = Job(
        stage="train_dit",
        function=train_generator,
        inputs={"processed": Path("data/processed")},
        outputs={"output": Path("models/generator"), "metrics": Path("metrics/generator")},
        checks={"output": TinyDiT.from_pretrained},
        state=state,
        processes=params.compute.processes,
        arguments={
            "seed": params.seed,
            "mirror": params.data.mirror,
            **params.dit.model_dump(),
            **params.train.model_dump(exclude={"smoke"}),
            **run_settings(params, state),
        },
    )
    run(params.compute, job)


if __name__ == "__main__":
    with one_line_errors():
        main()
