"""The tiny project, run once for the tests here and those in the browser, where no models are published.

    python -m tests.pipeline.tiny FOLDER

makes FOLDER/project, a finished run, and FOLDER/project-cache, its DVC cache.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from tests.pipeline.conftest import make_reproduced


def main(output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    make_reproduced(output.resolve() / "project")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
