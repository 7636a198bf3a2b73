"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Root = Annotated[Path, typer.Option(help="The project's directory.")]
MAX_SEED = 2**63 - 1  # that torch takes
