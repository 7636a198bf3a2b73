"""Sends what a run logs to Weights & Biases as well."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tinycats.errors import UserError


@dataclass(frozen=True)
class WandbSettings:
    project: str
    entity: str | None  # null: the key's own
    mode: Literal["online", "offline"]  # offline runs are kept in `directory`, for `wandb sync`
    directory: Path


class WandbSink:
    """One run there for one run directory: continued here, it is continued there."""

    def __init__(self, settings: WandbSettings, stage: str, run_id: str, config: dict[str, Any]) -> None:
        """Raises UserError where the package or the key is missing, before anything is trained."""
        if importlib.util.find_spec("wandb") is None:
            raise UserError("logging.backend: the package wandb is not installed: pip install 'tinycats[wandb]'")
        import wandb

        if settings.mode == "online" and not wandb.login(prompt=False):
            raise UserError(
                "logging.backend: no key for Weights & Biases: set WANDB_API_KEY, or go on without with -S logging.mode=offline"
            )
        settings.directory.mkdir(parents=True, exist_ok=True)
        try:
            self.run = wandb.init(
                project=settings.project, entity=settings.entity, mode=settings.mode, dir=str(settings.directory),
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

    def finish(self, summary: dict[str, float]) -> None:
        self.run.summary.update(summary)
        self.run.finish()


def open_sink(settings: WandbSettings | None, stage: str, run_id: str, config: dict[str, Any]) -> WandbSink | None:
    """The sink, where one is asked for."""
    return None if settings is None else WandbSink(settings, stage, run_id, config)
