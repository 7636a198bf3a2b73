"""`tinycats runs` and `tinycats cancel`: what was started on Modal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tinycats.commands.options import Root


def runs(root: Root = Path(), as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Show the runs on Modal that were started here or in DVC's queue: their state, GPU time and estimated cost.

    The outputs of a run that has "ended" are not fetched yet: repeat the command that started it.

    **Examples**

    `tinycats runs`

    `tinycats runs --json`
    """
    import json
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.table import Table

    from tinycats.runtime.compute.calls import find_records

    records = [record for _, record in find_records(root)]
    states: dict[str, str] = {record.name: record.state for record in records}
    if any(record.state == "running" for record in records):
        from tinycats.runtime.compute.modal_backend import state_there  # modal takes a while to import

        states = {record.name: state_there(record) for record in records}
    if as_json:
        rows = [
            {**record.model_dump(), "state": states[record.name], "gpu_seconds": record.gpu_seconds, "usd": record.usd}
            for record in records
        ]
        print(json.dumps(rows, indent=2))
        return
    if not records:
        print("nothing has been run on Modal from here")
        return
    table = Table(box=None)
    for name in ("run", "state", "GPU", "started", "attempts", "GPU time", "about", "call"):
        table.add_column(name, no_wrap=name in ("run", "state", "call"))
    for record in records:
        table.add_row(
            record.name,
            states[record.name],
            f"{record.gpus} x {record.gpu}",
            f"{datetime.fromtimestamp(record.spawned_at, UTC):%Y-%m-%d %H:%M} UTC",
            str(record.attempts or "-"),
            "-" if record.gpu_seconds is None else f"{record.gpu_seconds:.0f} s",
            "-" if record.usd is None else f"${record.usd:.2f}",
            record.call_id,
        )
    Console(soft_wrap=True).print(table)


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
    from tinycats.runtime.compute.modal_backend import cancel_there
    from tinycats.runtime.errors import UserError

    state, record = find_record(root, run)
    if record.state != "running":
        raise UserError(f"{record.name}: is not running but {record.state}")
    cancel_there(state, record)
    print(f"cancelled {record.name}")
