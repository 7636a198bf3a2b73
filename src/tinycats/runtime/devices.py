"""Which device to compute on."""

from __future__ import annotations

import torch

from tinycats.runtime.errors import UserError
from tinycats.runtime.section import DeviceName


def resolve_device(name: DeviceName) -> torch.device:
    """The device of that name, with its index; `auto` is CUDA where there is one.

    Raises UserError where CUDA is asked for and missing.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("compute.device: no CUDA device found; use compute.device=auto")
    if name == "cuda" or (name == "auto" and torch.cuda.is_available()):
        return torch.device("cuda", torch.cuda.current_device())  # "cuda" alone is another GPU in another thread
    return torch.device("cpu")
