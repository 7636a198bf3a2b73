"""How a training run is run: what every one takes from the parameters that cannot change its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tinycats.runtime.compute_params import LocalCompute, ModalCompute
from tinycats.runtime.params import DvcliveLogging, RunMonitor, SampledRunMonitor, WandbLogging
from tinycats.runtime.section import DeviceName

CHECKPOINT_SHARE = 0.02  # of the time, which checkpoints may take


@dataclass(frozen=True)
class RunSettings:
    """`runs`: where run directories are made. `guard_steps`: None where the loss need not fall."""

    runs: Path
    device: DeviceName = "auto"
    every_steps: int = 25  # steps between two points of the curves
    guard_steps: int | None = None
    sample_every: int | None = None  # steps between two validations of a generator; None: at the end alone
    checkpoint_every_s: float = 30.0  # at least, and more where writing one takes long
    checkpoint_share: float = CHECKPOINT_SHARE
    wandb: WandbLogging | None = None


def run_settings(
    compute: LocalCompute | ModalCompute, logging: DvcliveLogging | WandbLogging, monitor: RunMonitor, state: Path
) -> RunSettings:
    """Those of a stage, whose run directories and files for Weights & Biases go below `state`."""
    return RunSettings(
        runs=state / "runs",
        device=compute.device,
        every_steps=logging.every_steps,
        guard_steps=monitor.guard_steps,
        sample_every=monitor.sample_every if isinstance(monitor, SampledRunMonitor) else None,
        checkpoint_every_s=compute.checkpoint_every_s,
        wandb=logging if isinstance(logging, WandbLogging) else None,
    )
