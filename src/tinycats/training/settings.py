"""What every training takes from the parameters that cannot change its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tinycats.params import Params, WandbLogging
from tinycats.training.wandb_sink import WandbSettings


def run_settings(params: Params, state: Path) -> dict[str, Any]:
    """Arguments of the training jobs; run directories and Weights & Biases' files go below `state`."""
    logging = params.logging
    wandb = None
    if isinstance(logging, WandbLogging):
        wandb = WandbSettings(logging.project, logging.entity, logging.mode, state / "wandb")
    return {
        "runs": state / "runs",
        "device": params.compute.device,
        "log_every": logging.every_steps,
        "checkpoint_every_s": params.compute.checkpoint_every_s,
        "smoke": params.train.smoke,
        "wandb": wandb,
    }
