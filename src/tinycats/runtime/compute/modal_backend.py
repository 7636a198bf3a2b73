"""Runs a job on Modal and waits for it.

Inputs go to a Volume, once for their content. The call is spawned and its id written down here and on the Volume: where this
process is killed, the next one attaches to the call. Outputs come back, are compared by hash, checked, and put in place.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, is_dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path
from types import FunctionType
from typing import Any, NoReturn, TypeVar

import aiohttp
import grpclib.exceptions
import modal
import modal.config
import modal.exception
from pydantic import BaseModel

from tinycats.runtime.compute.calls import CallRecord, read_record, record_path, write_record
from tinycats.runtime.compute.container import Request, Result
from tinycats.runtime.compute.contents import Contents, contents, digest
from tinycats.runtime.compute.job import Job
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.files import atomic_directory, atomic_path, file_hash
from tinycats.runtime.params import ModalCompute
from tinycats.runtime.run_directory import changes_results, loaded_sources
from tinycats.runtime.run_settings import RunSettings
from tinycats.runtime.status import Status

T = TypeVar("T")

POLL_S = 10.0
RETRY_S = 2.0  # between two attempts to reach Modal again

# What Modal's client raises where the network or the service is at fault
LOST = (
    modal.exception.ConnectionError,
    modal.exception.ServiceError,
    modal.exception.InternalError,
    modal.exception.ResourceExhaustedError,
    grpclib.exceptions.StreamTerminatedError,
    aiohttp.ClientError,
    ConnectionError,
)  # fmt: skip


def run_on_modal(compute: ModalCompute, job: Job) -> None:
    """Run the job there, or attach to its call that is running, and put its outputs in place here.

    Raises UserError where there is no token, Modal cannot be reached, the job fails or its outputs are not what they should be.
    """
    check_token()
    found = {path.as_posix(): contents(path) for path in job.inputs.values()}
    sources = {module: file_hash(path) for module, path in loaded_sources().items()}
    name = f"{job.stage}-{_key(job, found, sources)}"
    with _one_line(job.stage):
        volume = modal.Volume.from_name(compute.volume, environment_name=compute.environment, create_if_missing=True)
        volume.hydrate()
        record = _running(compute, job, name, volume)
        if record:
            _say(job.stage, f"attaches to the call {record.call_id}, which is on Modal already")
        else:
            for path, sums in found.items():
                _upload(volume, Path(path), sums, job.stage)
            request = Request(
                name=name,
                sources=sources,
                inputs={path: digest(sums) for path, sums in found.items()},
                outputs=[path.as_posix() for path in job.outputs.values()],
                state=job.state.as_posix(),
                job=pickle.dumps(replace(job, checks={})),
            )
            record = _spawn(compute, job, request, volume)
        result = _wait(compute, job, record, volume)
        scratch = job.state / "remote" / name
        try:
            _download(compute, volume, record, result, job, scratch)
            record = record.model_copy(update={"state": "finished"})
            write_record(job.state, record)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    _say(
        job.stage,
        f"done on Modal in {record.attempts} attempt(s): {record.gpu_seconds:.0f} s of {record.gpu}, about ${record.usd:.2f}",
    )


def state_there(record: CallRecord) -> str:
    """The state of a call, asked for on Modal if it was running: "running", "ended" or "unknown" then."""
    if record.state != "running":
        return record.state
    check_token()
    try:
        modal.FunctionCall.from_id(record.call_id).get(timeout=0)
    except TimeoutError:
        return "running"
    except LOST:
        return "unknown"
    except BaseException as error:  # what the call raised there
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
    return "ended"


def cancel_there(state: Path, record: CallRecord) -> None:
    """End a call on Modal. Raises UserError where Modal cannot be reached."""
    check_token()
    write_record(state, record.model_copy(update={"state": "cancelled"}))  # first: who waits for it looks there
    try:
        with _one_line(record.stage):
            modal.FunctionCall.from_id(record.call_id).cancel()
    except UserError:
        write_record(state, record)
        raise


def check_token() -> None:
    """Raise UserError where there is no token for Modal."""
    names = ("token_id", "token_secret"), ("oauth_refresh_token", "oauth_client_id")
    if not any(all(modal.config.config.get(name) for name in pair) for pair in names):
        raise UserError(
            "compute.backend: no token for Modal: run `modal token new`, set MODAL_TOKEN_ID and "
            "MODAL_TOKEN_SECRET, or run locally with -S compute=local"
        )


def _key(job: Job, found: dict[str, Contents], sources: dict[str, str]) -> str:
    """A hash of what determines the result: not how it is run (RunSettings, `device`), nor the code that runs it."""
    settings = {"device", *(name for name, value in job.arguments.items() if isinstance(value, RunSettings))}
    arguments = {name: value for name, value in job.arguments.items() if name not in settings}
    code = {name: sha for name, sha in sources.items() if changes_results(name)}
    determines = [job.function.__qualname__, arguments, job.outputs, found, code]
    text = json.dumps(determines, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, BaseModel):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"a job's argument cannot be {value!r}: it would not be the same in another process")


def _running(compute: ModalCompute, job: Job, name: str, volume: modal.Volume) -> CallRecord | None:
    """The record of the call of this name where it is running, or has ended and nobody here has its outputs."""
    record = read_record(record_path(job.state, name))
    if record and record.state == "running":
        return record
    try:  # another checkout or a machine that is gone may have spawned it
        call_id = str(json.loads(_read(volume, f"calls/{name}/call.json"))["call_id"])
        if record and record.call_id == call_id:  # its end is known
            return None
        modal.FunctionCall.from_id(call_id).get(timeout=0)
    except TimeoutError:  # it is running
        record = _new_record(compute, job.stage, name, call_id)
        write_record(job.state, record)
        return record
    except LOST:
        raise
    except Exception:  # there is no such file, or the call has ended
        return None
    return None


def _new_record(compute: ModalCompute, stage: str, name: str, call_id: str) -> CallRecord:
    machine = compute.machines[stage]  # type: ignore[index]  # run() has looked
    return CallRecord(
        name=name, stage=stage, call_id=call_id, app=compute.app, environment=compute.environment, volume=compute.volume,
        gpu=machine.gpu, gpus=machine.count, usd_per_hour=compute.usd_per_hour[machine.gpu], spawned_at=time.time(),
    )  # fmt: skip


def _upload(volume: modal.Volume, path: Path, sums: Contents, stage: str) -> None:
    """Bring a file or directory to the Volume, unless it is there."""
    name = f"inputs/{digest(sums)}"
    try:
        _read(volume, f"{name}.json")
        return
    except FileNotFoundError:
        pass
    files = {f"{name}/{inside}" if inside else name: path / inside for inside in sums}
    _say(stage, f"uploads {path} ({sum(file.stat().st_size for file in files.values()) / 1e6:.1f} MB)")
    with volume.batch_upload(force=True) as batch:
        for target, file in files.items():
            batch.put_file(file, target)
    with volume.batch_upload(force=True) as batch:  # now it is whole
        batch.put_file(BytesIO(json.dumps(sums).encode()), f"{name}.json")


def _spawn(compute: ModalCompute, job: Job, request: Request, volume: modal.Volume) -> CallRecord:
    """Deploy the app as it is here, call the stage's function, and write down the call."""
    if not Path("requirements.lock").exists():
        raise UserError(
            "requirements.lock: not found; it defines the image on Modal; run this from the repository root"
        )
    from tinycats.runtime.compute.modal_app import MOUNT, app  # reads requirements.lock

    _say(job.stage, f"deploys {compute.app} (its image is built the first time, which takes minutes)")
    app.deploy(name=compute.app, environment_name=compute.environment)
    machine = compute.machines[job.stage]  # type: ignore[index]
    function = modal.Function.from_name(compute.app, job.stage, environment_name=compute.environment).with_options(
        gpu=f"{machine.gpu}:{machine.count}",
        timeout=compute.timeout_s,
        retries=modal.Retries(max_retries=compute.retries, initial_delay=1.0),
        region=compute.regions or None,
        volumes={MOUNT: volume},
        secrets=[modal.Secret.from_name(name, environment_name=compute.environment) for name in compute.secrets],
    )
    call = function.spawn(request.to_text(), compute.volume)
    record = _new_record(compute, job.stage, request.name, call.object_id)
    write_record(job.state, record)
    _say(
        job.stage,
        f"runs on Modal as {call.object_id} on {machine.count} x {machine.gpu}; you may stop this command and run it again; "
        f"`tinycats cancel {request.name}` ends the run",
    )
    return record


def _wait(compute: ModalCompute, job: Job, record: CallRecord, volume: modal.Volume) -> Result:
    """Wait until the call ends, however often the connection is lost for a while; note how it ended."""
    call = modal.FunctionCall.from_id(record.call_id)
    shown = -1
    while True:
        try:
            result = _insist(compute, record, lambda: call.get(timeout=POLL_S))
            break
        except TimeoutError:
            shown = _show_progress(volume, record, shown)
        except (UserError, modal.exception.AuthError, KeyboardInterrupt, SystemExit):
            raise  # which says nothing of the call
        except BaseException as error:  # what the call raised there, InputCancellation among it
            _fail(job, record, volume, _how_it_ended(compute, job, record, error))
    assert isinstance(result, Result)
    record.attempts, record.seconds = result.attempts, result.seconds
    if result.error is not None:
        _fail(job, record, volume, result.error)
    return result


def _insist(compute: ModalCompute, record: CallRecord, action: Callable[[], T]) -> T:
    """Do it, again and again while there is no connection; raises UserError when that has lasted too long."""
    lost_since: float | None = None
    while True:
        try:
            return action()
        except TimeoutError:
            raise
        except LOST as error:
            now = time.monotonic()
            if lost_since is None:
                lost_since = now
                _say(
                    record.stage, f"no connection to Modal ({first_line(error)}); the run continues there; tries again"
                )
            if now - lost_since > compute.connection_timeout_s:
                raise UserError(
                    f"{record.stage}: no connection to Modal for {compute.connection_timeout_s:.0f} s; the run {record.call_id} "
                    "continues there: run the same command again to attach to it"
                ) from None
            time.sleep(RETRY_S)


def _fail(job: Job, record: CallRecord, volume: modal.Volume, problem: str) -> NoReturn:
    """Write down that the call is of no more use, and what it cost; the next run makes another."""
    kept = read_record(record_path(job.state, record.name))
    state = "cancelled" if kept and kept.state == "cancelled" else "failed"
    seconds: list[float] = []
    with suppress(FileNotFoundError, ValueError, *LOST):
        seconds = list(json.loads(_read(volume, f"calls/{record.name}/attempts.json")).values())
    update = {"state": state, "problem": problem, "attempts": len(seconds), "seconds": sum(seconds)}
    write_record(job.state, record.model_copy(update=update))
    raise UserError(problem)


def _how_it_ended(compute: ModalCompute, job: Job, record: CallRecord, error: BaseException) -> str:
    attempts = f"{compute.retries + 1} attempt(s)"
    again = "its checkpoints are kept: run the same command again to resume"
    kept = read_record(record_path(job.state, record.name))
    if isinstance(error, modal.exception.InputCancellation) or (kept and kept.state == "cancelled"):
        return f"{job.stage}: the run was cancelled; {again}"
    if isinstance(error, modal.exception.FunctionTimeoutError):
        return f"{job.stage}: not done after {attempts} of {compute.timeout_s} s (compute.timeout_s); {again}"
    if isinstance(error, modal.exception.OutputExpiredError | modal.exception.NotFoundError):
        return f"{job.stage}: Modal has forgotten the call {record.call_id}; {again}"
    return (
        f"{job.stage}: failed on Modal after {attempts} ({first_line(error)}); "
        f"`modal app logs {record.app}` shows more; {again}"
    )


def _show_progress(volume: modal.Volume, record: CallRecord, shown: int) -> int:
    """Print the step that the run has last told of, if it is not `shown`; return it."""
    try:
        status = Status.model_validate_json(_read(volume, f"calls/{record.name}/status.json"))
    except (FileNotFoundError, ValueError, *LOST):  # not there yet, or no connection: the next poll finds out
        return shown
    if status.step != shown:
        loss = "" if status.loss is None else f"  loss {status.loss:.4f}"
        _say(record.stage, f"on Modal: step {status.step}/{status.steps}{loss}  {status.images_per_second:.0f} img/s")
    return status.step


def _download(
    compute: ModalCompute, volume: modal.Volume, record: CallRecord, result: Result, job: Job, scratch: Path
) -> None:
    """Bring all outputs to `scratch`, check them, and only then put them in place."""
    for output in job.outputs.values():
        name = output.as_posix()
        for inside, expected in result.outputs[name].items():
            target = scratch / name / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            remote = f"calls/{record.name}/outputs/{name}/{inside}".rstrip("/")
            for _ in range(2):
                _insist(compute, record, partial(_copy, volume, remote, target))
                if file_hash(target) == expected:
                    break
            else:
                path = target.relative_to(scratch)
                _fail(
                    job,
                    record,
                    volume,
                    f"{job.stage}: {path} arrived damaged from Modal; run the same command again",
                )
    try:
        for argument, check in job.checks.items():
            check(scratch / job.outputs[argument])
    except UserError as error:
        _fail(job, record, volume, f"{job.stage}: arrived from Modal, but {error}")
    for output in job.outputs.values():
        if (scratch / output).is_dir():
            with atomic_directory(output) as directory:
                shutil.copytree(scratch / output, directory, dirs_exist_ok=True)
        else:
            with atomic_path(output) as path:
                shutil.copyfile(scratch / output, path)


def _copy(volume: modal.Volume, remote: str, target: Path) -> None:
    with target.open("wb") as file:
        for chunk in volume.read_file(remote):
            file.write(chunk)


def _read(volume: modal.Volume, path: str) -> bytes:
    """A small file of the Volume. Raises FileNotFoundError."""
    return b"".join(volume.read_file(path))


@contextmanager
def _one_line(stage: str) -> Iterator[None]:
    """Turn what Modal's client raises into a UserError, and let SIGTERM and SIGHUP end the waiting as Ctrl-C does.

    Not a SIGHUP that is ignored already, as nohup has it.
    """

    def interrupt(number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = {
        number: signal.signal(number, interrupt)
        for number in (signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    except KeyboardInterrupt:
        _say(
            stage,
            "stopped waiting; a call that has begun continues on Modal: run the same command again to attach to it",
        )
        raise SystemExit(130) from None
    except modal.exception.AuthError as error:
        raise UserError(
            f"{stage}: Modal refuses the token ({first_line(error)}); `modal token new` makes another"
        ) from None
    except modal.exception.NotFoundError as error:
        raise UserError(f"{stage}: not found on Modal: {first_line(error)}") from None
    except LOST as error:
        raise UserError(f"{stage}: no connection to Modal ({first_line(error)}); run the same command again") from None
    except modal.exception.Error as error:
        raise UserError(f"{stage}: Modal: {first_line(error)}") from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _say(stage: str, line: str) -> None:
    print(f"{stage}: {line}", file=sys.stderr, flush=True)
