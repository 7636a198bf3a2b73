"""`tinycats status`: what trains, and how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.commands.options import Root


def status(
    root: Root = Path(),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Update it every second, until Ctrl-C.")] = False,
    all_runs: Annotated[bool, typer.Option("--all", "-a", help="Finished runs too, and sizes on disk.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, including finished runs.")] = False,
    prune: Annotated[bool, typer.Option("--prune", help="Delete unfinished runs that are not running.")] = False,
) -> None:
    """Show the training runs here, in other terminals and in DVC's queue.

    A run that was killed is "crashed", one that has not written for a minute is "stale": repeat the same command
    and it resumes from its last checkpoint.

    Examples: `tinycats status`, `tinycats status --watch`, `tinycats status --json`, `tinycats status --prune`
    """
    import json
    import time

    from rich.console import Console
    from rich.live import Live

    from tinycats.runtime.status import find_runs, status_table

    if prune:
        _prune(root)
        return
    if as_json:
        found = [
            {**(run.status.model_dump() if run.status else {}), "condition": run.condition(), "path": str(run.path),
             "bytes": run.size()}
            for run in find_runs(root)
        ]  # fmt: skip
        print(json.dumps(found, indent=2))
        return
    console = Console()
    if not watch:
        console.print(status_table(console, find_runs(root), all_runs), crop=False)
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(status_table(console, find_runs(root), all_runs), refresh=True)
                time.sleep(1)
    except KeyboardInterrupt:
        pass


def _prune(root: Path) -> None:
    from tinycats.runtime.status import megabytes, prune

    sizes = []
    for run, size in prune(root):
        if size is None:
            print(f"kept {run.path}: in use")
            continue
        sizes.append(size)
        step = f" at step {run.status.step} of {run.status.steps}" if run.status else ""
        print(f"deleted {run.path}: {run.condition()}{step}, {megabytes(size)}")
    print(f"deleted {len(sizes)} unfinished runs, {megabytes(sum(sizes))}")
