"""timm, importable with a CPU-only torch, and without Weights & Biases.

timm imports torchvision, and Weights & Biases where that is installed: seconds for every stage, for nothing.
"""

from __future__ import annotations

import sys

import tinycats.runtime.vision  # noqa: F401  # before timm imports torchvision

# isort: split
_wandb = sys.modules.get("wandb")
sys.modules["wandb"] = None  # type: ignore[assignment]  # not found while timm looks for it
try:
    import timm
finally:
    del sys.modules["wandb"]
    if _wandb is not None:
        sys.modules["wandb"] = _wandb

__all__ = ["timm"]
