"""`tinycats status`: what trains, and how far it is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def status(
    root: Annotated[Path, typer.Option(help="The project's directory.")] = Path(),
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Show it anew every second, until Ctrl-C.")] = False,
    all_runs: Annotated[bool, typer.Option("--all", "-a", help="Finished runs too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, finished runs too.")] = False,
) -> None:
    """Show the training runs here, in other terminals and in DVC's queue.

    A run that was killed is "crashed", one that has not written for a minute is "stale": start the same command again
    and it goes on from its last state.

    Examples: `tinycats status`, `tinycats status --watch`, `tinycats status --json`
    """
    import json
    import time

    from rich.console import Console
    from rich.live import Live

    from tinycats.runtime.status import condition, find_runs, status_table

    if as_json:
        runs = find_runs(root)
        print(json.dumps([{**run.model_dump(), "condition": condition(run, time.time())} for run in runs], indent=2))
        return
    console = Console()
    if not watch:
        console.print(status_table(find_runs(root), all_runs))
        return
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                live.update(status_table(find_runs(root), all_runs), refresh=True)
                time.sleep(1)
    except KeyboardInterrupt:
        pass
