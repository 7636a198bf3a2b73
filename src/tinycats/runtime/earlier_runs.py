"""What calls in other containers have written of a run."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Names a directory that has, for each run, a folder of each call that worked on it
EARLIER_RUNS = "TINYCATS_EARLIER_RUNS"


def link_earlier(run: Path) -> None:
    """Where the environment names EARLIER_RUNS, show this run what other calls have written of it (see compute/container.py).

    As links, which the run replaces by files of its own; of two files of one name, the one that was written last.
    """
    earlier = os.environ.get(EARLIER_RUNS)
    if earlier is None:
        return
    folder = Path(earlier, run.name)
    files = [path for path in folder.glob("*/**/*") if path.is_file() and not path.name.startswith(".")]
    for path in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        here = run.joinpath(*path.relative_to(folder).parts[1:])
        here.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            here.symlink_to(path)
