"""Where a job runs. A job is a function of plain values and paths; where it runs cannot change what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch

from tinycats.errors import UserError


def run(
    backend: Literal["local", "modal"], job: Callable[..., None], processes: int | None = 1, **arguments: Any
) -> None:
    """Run `job(**arguments)` on the backend. Raises UserError where the backend is not there.

    Locally, in `processes` processes that share the training; None: one for each GPU.
    """
    if backend == "modal":
        raise UserError("compute.backend: modal is not built yet; run here with -S compute=local")
    count = processes or max(torch.cuda.device_count(), 1)
    if count == 1:
        job(**arguments)
    else:
        from tinycats.compute.launch import launch  # torchrun takes a while to import

        launch(count, job, arguments)
