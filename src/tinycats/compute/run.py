"""Where a job runs. A job is a function of plain values and paths; where it runs cannot change what comes out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tinycats.errors import UserError


def run(backend: Literal["local", "modal"], job: Callable[..., None], **arguments: Any) -> None:
    """Run `job(**arguments)` on the backend. Raises UserError where the backend is not there."""
    if backend == "modal":
        raise UserError("compute.backend: modal is not built yet; run here with -S compute=local")
    job(**arguments)
