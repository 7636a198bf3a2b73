"""Train the generator: data/processed -> models/generator, metrics/generator."""

from pathlib import Path

from tinycats.compute.run import run
from tinycats.errors import one_line_errors
from tinycats.params import load_params
from tinycats.training.generator_job import train_generator


def main() -> None:
    params = load_params(Path("params.yaml"))
    run(
        params.compute.backend,
        train_generator,
        processed=Path("data/processed"),
        output=Path("models/generator"),
        metrics=Path("metrics/generator"),
        runs=Path(".tinycats/runs"),
        seed=params.seed,
        mirror=params.data.mirror,
        device=params.compute.device,
        log_every=params.logging.every_steps,
        checkpoint_every_s=params.compute.checkpoint_every_s,
        **params.dit.model_dump(),
        **params.train.model_dump(),
    )


if __name__ == "__main__":
    with one_line_errors():
        main()
