"""Sends what a run logs to Weights & Biases as well."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from tinycats.runtime.errors import UserError
from tinycats.runtime.params import WandbLogging
from tinycats.runtime.processes import is_main


class WandbSink:
    """One run there for one run directory: continued here, it is continued there."""

    def __init__(
        self, settings: WandbLogging, directory: Path, stage: str, run_id: str, config: dict[str, Any]
    ) -> None:
        """Offline runs are kept in `directory`, for `wandb sync`.

        Raises UserError where the package or the key is missing, before anything is trained.
        """
        if importlib.util.find_spec("wandb") is None:
            raise UserError("logging.backend: the package wandb is not installed: pip install 'tinycats[wandb]'")
        import wandb

        if settings.mode == "online" and not wandb.login(prompt=False):
            raise UserError(
                "logging.backend: no key for Weights & Biases: set WANDB_API_KEY, or do without one: -S logging.mode=offline"
            )
        directory.mkdir(parents=True, exist_ok=True)
        try:
            self.run = wandb.init(
                project=settings.project, entity=settings.entity, mode=settings.mode, dir=str(directory),
                id=run_id, name=run_id, group=stage, job_type=stage, resume="allow", config=config,
                settings=wandb.Settings(silent=True),
            )  # fmt: skip
        except wandb.Error as error:
            raise UserError(f"logging.backend: Weights & Biases: {' '.join(str(error).split())}") from None
        self.image = wandb.Image

    def log(self, step: int, scalars: dict[str, float]) -> None:
        self.run.log(scalars, step=step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        self.run.log({name.removesuffix(".png"): self.image(str(path))}, step=step)

    def finish(self, summary: dict[str, float | str]) -> None:
        self.run.summary.update(summary)
        self.run.finish()


def open_sink(
    settings: WandbLogging | None, directory: Path, stage: str, run_id: str, config: dict[str, Any]
) -> WandbSink | None:
    """The sink, where one is asked for, in the main process."""
    return WandbSink(settings, directory, stage, run_id, config) if settings is not None and is_main() else None
