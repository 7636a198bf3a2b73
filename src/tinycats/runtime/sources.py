"""The code that this process has loaded, and which of it can change a result."""

from __future__ import annotations

import sys
from pathlib import Path


def loaded_sources() -> dict[str, Path]:
    """The files of the project's modules that this process has loaded, by name."""
    modules = sorted(sys.modules.items())
    return {name: Path(m.__file__) for name, m in modules if name.split(".")[0] == "tinycats" and m.__file__}


def changes_results(module: str) -> bool:
    """Whether the code of a module can change a result: that of this room cannot."""
    return module.split(".")[:2] != ["tinycats", "runtime"]
