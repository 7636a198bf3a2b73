"""`tinycats runs` and `tinycats cancel`: what was started on Modal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.commands.options import Root


def runs(
    root: Root = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Stop the apps of other sources, and delete what is old on the Volume.")
    ] = False,
    days: Annotated[
        float, typer.Option("--days", min=1, help="With --prune: what has not changed for so long is old.")
    ] = 30,
) -> None:
    """Show the runs on Modal that were started here or in DVC's queue: their state, GPU time and estimated cost.

    The outputs of a run that has "ended" are not fetched yet: repeat the command that started it. "unknown": Modal did not say
    whether it runs; the reason stands below.

    **Examples**

    `tinycats runs`

    `tinycats runs --json`

    `tinycats runs --prune --days 7`
    """
    if prune:
        _prune(root, days)
        return
    import json
    from datetime import UTC, datetime

    from rich.console import Console

    from tinycats.runtime.compute.calls import find_records
    from tinycats.runtime.tables import fitting_table

    records = [record for _, record in find_records(root)]
    states: dict[str, str] = {record.call_id: record.state for record in records}
    reasons = {record.call_id: record.problem for record in records}
    if any(record.state == "running" for record in records):
        from tinycats.runtime.compute.states import state_there  # modal takes a while to import

        for record in records:
            states[record.call_id], why = state_there(record)
            reasons[record.call_id] = why or record.problem
    if as_json:
        found = [
            {
                **record.model_dump(),
                "state": states[record.call_id],
                "problem": reasons[record.call_id],
                "gpu_seconds": record.gpu_seconds,
                "usd": record.usd,
            }
            for record in records
        ]
        print(json.dumps(found, indent=2))
        return
    if not records:
        print("nothing has been run on Modal from here")
        return
    heads = ("run", "state", "GPU", "started (UTC)", "attempts", "GPU time", "about", "call")
    rows = [
        (
            record.name,
            states[record.call_id],
            "-" if record.gpu is None else f"{record.gpus} x {record.gpu}",
            f"{datetime.fromtimestamp(record.spawned_at, UTC):%Y-%m-%d %H:%M}",
            str(record.attempts or "-"),
            "-" if record.gpu_seconds is None else f"{record.gpu_seconds:.0f} s",
            "-" if record.usd is None else f"${record.usd:.2f}",
            record.call_id,
        )
        for record in records
    ]
    console = Console()
    table = fitting_table(console, heads, rows, less_needed=("call", "attempts", "GPU time", "started (UTC)"))
    console.print(table, crop=False)
    for why in sorted({reasons[record.call_id] or "" for record in records if states[record.call_id] == "unknown"}):
        print(f"unknown: {why}")


def _prune(root: Path, days: float) -> None:
    from tinycats.runtime.compute.prune import places, prune_there
    from tinycats.runtime.params import load_params

    found = places(root, load_params(root / "params.yaml").compute)
    if not found:
        print("nothing has been run on Modal from here, and compute is not modal in params.yaml")
    lines = 0
    for place in found:
        for line in prune_there(root, place, days):
            print(line, flush=True)
            lines += 1
    if found and not lines:
        print(f"nothing there is older than {days:g} days")


def cancel(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help="The run's name, its beginning or its call id, see `tinycats runs`.")
    ],
    root: Root = Path(),
) -> None:
    """End a run on Modal. Its checkpoints are kept: repeat the command that started it to resume.

    **Example**

    `tinycats cancel train_dit-bf39`
    """
    from tinycats.runtime.compute.calls import find_record
    from tinycats.runtime.compute.states import cancel_there
    from tinycats.runtime.errors import UserError

    state, record = find_record(root, run)
    if record.state != "running":
        raise UserError(f"{record.name}: is not running but {record.state}; there is nothing to cancel")
    cancel_there(state, record)
    print(f"cancelled {record.name}")
