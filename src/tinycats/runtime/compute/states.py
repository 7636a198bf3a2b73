"""What became of calls on Modal: asked for `tinycats runs`, ended by `tinycats cancel`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import modal
import modal.exception

from tinycats.runtime.compute.calls import CallRecord, write_record
from tinycats.runtime.compute.connection import ANSWERS, CallEnded, ask, check_token, explain, one_line, say
from tinycats.runtime.compute.storage import write_call
from tinycats.runtime.errors import UserError


def state_there(record: CallRecord) -> tuple[str, str | None]:
    """The state of a call, asked for on Modal if it was running: "running", "ended" or "unknown" then, and why."""
    if record.state != "running":
        return record.state, None
    try:
        check_token()
        return ("running" if ask(record.call_id, 0) is None else "ended"), None
    except CallEnded:
        return "ended", None
    except UserError as error:
        return "unknown", str(error)
    except ANSWERS as error:
        return "unknown", explain(error)


def cancel_there(state: Path, record: CallRecord) -> None:
    """End a call on Modal. Raises UserError where Modal cannot be reached."""
    check_token()
    cancelled = record.model_copy(update={"state": "cancelled"})
    write_record(state, cancelled)  # first: who waits for it looks there
    try:
        with one_line(record.stage):
            try:
                modal.FunctionCall.from_id(record.call_id).cancel()
            except modal.exception.NotFoundError as error:
                say(record.stage, f"Modal does not know the call {record.call_id} ({error}), which is given up here")
    except UserError:
        write_record(state, record)
        raise
    with suppress(*ANSWERS):  # for other checkouts, which would find out by asking
        write_call(modal.Volume.from_name(record.volume, environment_name=record.environment), cancelled)
