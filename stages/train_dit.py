"""Train the generator: data/processed -> models/generator, metrics/generator."""

from pathlib import Path

from tinycats.compute.run import run
from tinycats.errors import one_line_errors
from tinycats.params import load_params
from tinycats.training.generator_job import train_generator
from tinycats.training.settings import run_settings


def main() -> None:
    params = load_params(Path("params.yaml"))
    run(
        params.compute.backend,
        train_generator,
        params.compute.processes,
        processed=Path("data/processed"),
        output=Path("models/generator"),
        metrics=Path("metrics/generator"),
        seed=params.seed,
        mirror=params.data.mirror,
        **params.dit.model_dump(),
        **params.train.model_dump(exclude={"smoke"}),
        **run_settings(params, Path(".tinycats")),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
