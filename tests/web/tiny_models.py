"""Small models through the project's own pipeline, for browser tests where none are published.

    python -m tests.web.tiny_models FOLDER

makes FOLDER/models, as frontend/public/models is, and FOLDER/processed, as data/processed is.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from tests.pipeline.conftest import copy_project, use_cache


def main(output: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        project = copy_project(Path(temporary) / "project")
        use_cache(project.path)
        project.dvc("repro")
        shutil.rmtree(output, ignore_errors=True)
        shutil.copytree(project.path / "frontend/public/models", output / "models")
        shutil.copytree(project.path / "data/processed", output / "processed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
