"""Runs a job on Modal and waits for it.

Inputs go to a Volume, once for their content. The call is spawned and its id written down here and on the Volume: where this
process is killed, the next one attaches to the call. Outputs come back, are compared by hash, checked, and put in place.

Nothing is paid twice: before a call is spawned, the Volume is searched for the outputs of an earlier one, and the earlier ones
are asked whether they run. Where Modal gives no answer to that, nothing is spawned.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import modal
import modal.exception

from tinycats.runtime.compute.call_name import call_name
from tinycats.runtime.compute.calls import CallRecord, read_record, record_path, write_record
from tinycats.runtime.compute.connection import ANSWERS, CallEnded, ask, check_token, insist, one_line, say
from tinycats.runtime.compute.container import Request, Result
from tinycats.runtime.compute.contents import Contents, contents, digest
from tinycats.runtime.compute.deployment import deployed_function
from tinycats.runtime.compute.download import UnsoundError, download
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.job_text import to_text
from tinycats.runtime.compute.storage import (
    claim,
    count_claims,
    folder,
    known_call,
    read,
    read_object,
    upload,
    wait_for_call,
    write_call,
)
from tinycats.runtime.compute_params import ModalCompute
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.files import file_hash
from tinycats.runtime.sources import loaded_sources
from tinycats.runtime.status import Status

T = TypeVar("T")

POLL_S = 10.0
WEEK_S = 7 * 24 * 3600.0


def run_on_modal(compute: ModalCompute, job: Job) -> None:
    """Run the job there, or attach to its call that is running, and put its outputs in place here.

    Raises UserError where there is no token, Modal cannot be reached, the job fails or its outputs are not what they should be.
    """
    check_token()
    found = {path.as_posix(): contents(path) for path in job.inputs.values()}
    sources = {module: file_hash(path) for module, path in loaded_sources().items()}
    name = call_name(job, found, sources)
    with one_line(job.stage):
        volume = modal.Volume.from_name(compute.volume, environment_name=compute.environment, create_if_missing=True)
        volume.hydrate()
        record = RemoteRun(compute, job, name, volume).finish(found, sources)
    cost = "" if record.gpu is None else f": {record.gpu_seconds:.0f} s of {record.gpu}, about ${record.usd:.2f}"
    say(job.stage, f"done on Modal in {record.attempts} attempt(s){cost}")


class Forgotten(Exception):  # noqa: N818
    """Modal does not know a call."""


@dataclass
class RemoteRun:
    """A job and where it runs; all its calls have one name."""

    compute: ModalCompute
    job: Job
    name: str
    volume: modal.Volume

    def finish(self, found: dict[str, Contents], sources: dict[str, str]) -> CallRecord:
        """Put the outputs in place, of a call that is there or of a new one; return its record."""
        unsound: set[str] = set()  # folders of calls whose outputs are of no use
        while True:
            claims = self.insist(lambda: count_claims(self.volume, self.name))
            record, result = self.finished_call(claims, unsound)
            if record is None:
                record, result = self.asked_call(claims, unsound)
            lay_there = result is not None
            if record is None:
                record = self.spawn(claims + 1, found, sources)
            if record is None:  # somebody else was quicker
                time.sleep(1)
                continue
            if result is None:
                result = self.wait(record)
            record.attempts, record.seconds = result.attempts, result.seconds
            try:
                download(self.volume, record, result, self.job, partial(self.insist, call_id=record.call_id))
            except UnsoundError as error:
                if not lay_there:
                    self.fail(record, f"{self.job.stage}: {error}; run the same command again")
                say(self.job.stage, f"{error}; the outputs are made again")
                unsound.add(record.folder)
                continue
            record = record.model_copy(update={"state": "finished", "problem": None})
            write_record(self.job.state, record)
            return record

    def insist(self, action: Callable[[], T], call_id: str | None = None) -> T:
        return insist(self.job.stage, call_id, self.compute.connection_timeout_s, action)

    def finished_call(self, claims: int, unsound: set[str]) -> tuple[CallRecord | None, Result | None]:
        """The last call whose outputs lie on the Volume, and what it returned."""
        for number in range(claims, 0, -1):
            place = folder(self.name, number)
            content = self.insist(partial(read_object, self.volume, f"{place}/result.json"))
            if content is None or content["error"] is not None or place in unsound:
                continue
            known = self.insist(partial(known_call, self.volume, self.name, number))
            record = self.record(place, known or {})
            say(self.job.stage, f"fetches what the call {record.call_id} has made, which lies on Modal already")
            return record, Result(**content)
        return None, None

    def asked_call(self, claims: int, unsound: set[str]) -> tuple[CallRecord | None, Result | None]:
        """A call that says that it runs, or what it returned. Raises UserError where nothing is known of one that may run."""
        for record in self.earlier_calls(claims):
            if record.folder in unsound:
                continue
            cancelled = record.state == "cancelled"
            try:
                result = self.insist(partial(_ask_now, record.call_id), record.call_id)
                if cancelled and result is None:
                    say(self.job.stage, f"waits until the call {record.call_id} has ended, which was cancelled")
                while cancelled and result is None:
                    time.sleep(1)
                    result = self.insist(partial(_ask_now, record.call_id), record.call_id)
            except CallEnded:
                continue
            except Forgotten as error:
                if record.state != "running" or self.must_have_ended(record):
                    continue
                write_record(self.job.state, record)
                raise UserError(
                    f"{self.job.stage}: Modal does not know the call {record.call_id} ({error}), of which no end is known here: "
                    f"is the token that of its workspace? `tinycats cancel {record.name}` gives the call up"
                ) from None
            if result is not None and result.error is not None:
                continue
            record = record.model_copy(update={"state": "running", "problem": None})
            write_record(self.job.state, record)
            say(self.job.stage, f"attaches to the call {record.call_id}, which is on Modal already")
            return record, result
        return None, None

    def earlier_calls(self, claims: int) -> list[CallRecord]:
        """The calls of this name that are known here or on the Volume, the last first."""
        records: dict[str, CallRecord] = {}
        local = read_record(record_path(self.job.state, self.name))
        for number in range(claims, 0, -1):
            wait = wait_for_call if number == claims else known_call
            known = self.insist(partial(wait, self.volume, self.name, number))
            if known is not None:
                record = self.record(folder(self.name, number), known)
                records[record.call_id] = record
        if local and (local.call_id not in records or local.state != "running"):
            records[local.call_id] = local
        return list(records.values())

    def must_have_ended(self, record: CallRecord) -> bool:
        """Whether it is too old to run still; for a week Modal keeps what calls return."""
        attempts_s = (self.compute.retries + 1) * self.compute.timeout_s
        return time.time() > record.spawned_at + attempts_s + WEEK_S

    def record(self, place: str, known: dict[str, Any]) -> CallRecord:
        """The record of a call, with what is `known` of it."""
        compute, machine = self.compute, self.compute.machines[self.job.stage]  # type: ignore[index]  # run() has looked
        record = CallRecord(
            name=self.name, stage=self.job.stage, call_id="unknown", app=compute.app, environment=compute.environment,
            volume=compute.volume, folder=place, gpu=machine.gpu, gpus=machine.gpus, spawned_at=time.time(),
            usd_per_hour=0.0 if machine.gpu is None else compute.usd_per_hour[machine.gpu],
        )  # fmt: skip
        return CallRecord.model_validate({**record.model_dump(), **known})

    def spawn(self, number: int, found: dict[str, Contents], sources: dict[str, str]) -> CallRecord | None:
        """Call the stage's function with the inputs `found`, and write down the call, here and there.

        Returns None where somebody else is about to make the call of this number.
        """
        job, place = self.job, folder(self.name, number)
        for path, sums in found.items():
            upload(self.volume, Path(path), sums, job.stage)
        app, function = deployed_function(self.compute, job, self.volume)
        request = Request(
            folder=place,
            sources=sources,
            inputs={path: digest(sums) for path, sums in found.items()},
            outputs=[path.as_posix() for path in job.outputs.values()],
            state=job.state.as_posix(),
            job=to_text(job),
        )
        if not claim(self.volume, self.name, number, owner=uuid.uuid4().hex):
            return None
        call = function.spawn(request.to_text(), self.compute.volume)
        record = self.record(place, {"call_id": call.object_id, "app": app, "inputs": list(request.inputs.values())})
        write_record(job.state, record)
        self.insist(partial(write_call, self.volume, record), record.call_id)
        say(
            job.stage,
            f"runs on Modal as {call.object_id} on {self.compute.machines[job.stage]}; you may stop this command and run it "  # type: ignore[index]
            f"again; `tinycats cancel {self.name}` ends the run",
        )
        return record

    def wait(self, record: CallRecord) -> Result:
        """Wait until the call ends, however often Modal gives no answer for a while; note how it ended."""
        shown = -1
        while True:
            try:
                result = self.insist(partial(ask, record.call_id, POLL_S), record.call_id)
            except CallEnded as end:
                self.fail(record, None, end.__cause__)
            if result is not None:
                break
            shown = _show_progress(self.volume, record, shown)
        record.attempts, record.seconds = result.attempts, result.seconds
        if result.error is not None:
            self.fail(record, result.error)
        return result

    def fail(self, record: CallRecord, problem: str | None, error: BaseException | None = None) -> NoReturn:
        """Write down that the call is of no more use, and what it cost; the next run makes another."""
        kept = read_record(record_path(self.job.state, record.name))
        cancelled = kept is not None and kept.state == "cancelled"
        seconds: list[float] = []
        with suppress(Exception):  # what it cost stays unknown where it cannot be read
            seconds = list(json.loads(read(self.volume, f"{record.folder}/attempts.json")).values())
        if problem is None:
            problem = self.how_it_ended(record, error, len(seconds), cancelled)
        record = record.model_copy(
            update={
                "state": "cancelled" if cancelled else "failed",
                "problem": problem,
                "attempts": len(seconds) or None,
                "seconds": sum(seconds) if seconds else None,
            }
        )
        write_record(self.job.state, record)
        with suppress(*ANSWERS):  # others would find out by asking
            write_call(self.volume, record)
        raise UserError(problem)

    def how_it_ended(self, record: CallRecord, error: BaseException | None, attempts: int, cancelled: bool) -> str:
        stage, after = self.job.stage, f" after {attempts} attempt(s)" if attempts else ""
        again = "its checkpoints are kept: run the same command again to resume"
        if isinstance(error, modal.exception.InputCancellation) or cancelled:
            return f"{stage}: the run was cancelled; {again}"
        if isinstance(error, modal.exception.FunctionTimeoutError):
            return f"{stage}: not done{after}, of {self.compute.timeout_s} s each at most (compute.timeout_s); {again}"
        if isinstance(error, modal.exception.OutputExpiredError):
            return f"{stage}: Modal has forgotten the call {record.call_id}; {again}"
        said = "" if error is None else f" ({first_line(error)})"
        return f"{stage}: failed on Modal{after}{said}; `modal app logs {record.app}` shows more; {again}"


def _ask_now(call_id: str) -> Result | None:
    try:
        return ask(call_id, 0)
    except modal.exception.NotFoundError as error:
        raise Forgotten(first_line(error)) from None


def _show_progress(volume: modal.Volume, record: CallRecord, shown: int) -> int:
    """Print the step that the run has last told of, if it is not `shown`; return it."""
    try:
        status = Status.model_validate_json(read(volume, f"{record.folder}/status.json"))
    except Exception:  # no progress is known: whatever kept it from being read says nothing of the call
        return shown
    if status.step != shown:
        loss = "" if status.loss is None else f"  loss {status.loss:.4f}"
        say(record.stage, f"on Modal: step {status.step}/{status.steps}{loss}  {status.images_per_second:.0f} img/s")
    return status.step
