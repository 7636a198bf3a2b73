"""What Modal's client raises: what it means, for how long it is borne, and the line that it becomes."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import aiohttp
import grpclib.exceptions
import modal
import modal.config
import modal.exception

from tinycats.runtime.errors import UserError, first_line

T = TypeVar("T")

RETRY_S = 2.0  # between two attempts to reach Modal again

# What the client raises where the network or the service is at fault
LOST = (
    modal.exception.ConnectionError,
    modal.exception.ServiceError,
    modal.exception.InternalError,
    modal.exception.ResourceExhaustedError,
    grpclib.exceptions.StreamTerminatedError,
    aiohttp.ClientError,
    ConnectionError,
    TimeoutError,
)  # fmt: skip
# All that the service may say instead of an answer
ANSWERS = (*LOST, modal.exception.Error, grpclib.exceptions.GRPCError)
# Of these, how a call ended: its time limit, its expiry, a cancel, a container that died
ENDS = (
    modal.exception.FunctionTimeoutError,
    modal.exception.OutputExpiredError,
    modal.exception.InputCancellation,
    modal.exception.RemoteError,
    modal.exception.InternalFailure,
)


class CallEnded(Exception):  # noqa: N818
    """A call ended without a result; the cause says how."""


def ask(call_id: str, timeout_s: float) -> Any:
    """What the call returned; None where it has not ended in this time.

    Raises CallEnded where it ended otherwise. All else that this raises says nothing of the call, which may run on.
    """
    try:
        return modal.FunctionCall.from_id(call_id).get(timeout=timeout_s)
    except TimeoutError:
        return None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        if _is_an_end(error):
            raise CallEnded from error
        raise


def _is_an_end(error: BaseException) -> bool:
    if isinstance(error, ENDS):
        return True
    if isinstance(error, modal.exception.ExecutionError):  # also what a read says that got HTTP's 500
        return str(error).startswith("Could not deserialize remote exception")
    return not isinstance(error, ANSWERS)  # what the job raised there


def insist(stage: str, call_id: str | None, timeout_s: float, action: Callable[[], T]) -> T:
    """Do it, again and again while Modal cannot be reached or answers unexpectedly; raises UserError when that lasts too long.

    What would not change is raised at once: a refused token, a file that is not there, the end of a call.
    """
    lost_since: float | None = None
    continues = "" if call_id is None else f"; the run {call_id} continues there"
    while True:
        try:
            return action()
        except modal.exception.AuthError:
            raise
        except ANSWERS as error:
            now = time.monotonic()
            problem = "no connection to Modal" if isinstance(error, LOST) else "no answer from Modal"
            if lost_since is None:
                lost_since = now
                say(stage, f"{problem} ({first_line(error)}){continues}; tries again")
            if now - lost_since > timeout_s:
                attach = "" if call_id is None else " to attach to it"
                raise UserError(
                    f"{stage}: {problem} for {timeout_s:.0f} s{continues}: run the same command again{attach} "
                    f"({first_line(error)})"
                ) from None
            time.sleep(RETRY_S)


def check_token() -> None:
    """Raise UserError where there is no token for Modal."""
    names = ("token_id", "token_secret"), ("oauth_refresh_token", "oauth_client_id")
    if not any(all(modal.config.config.get(name) for name in pair) for pair in names):
        raise UserError(
            "compute.backend: no token for Modal: run `modal token new`, set MODAL_TOKEN_ID and "
            "MODAL_TOKEN_SECRET, or run locally with -S compute=local"
        )


@contextmanager
def one_line(stage: str) -> Iterator[None]:
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
        say(
            stage,
            "stopped waiting; a call that has begun continues on Modal: run the same command again to attach to it",
        )
        raise SystemExit(130) from None
    except ANSWERS as error:
        raise UserError(f"{stage}: {explain(error)}") from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def explain(error: BaseException) -> str:
    """What the client raised, in one line."""
    line = first_line(error)
    if isinstance(error, modal.exception.AuthError):
        return f"Modal refuses the token ({line}); `modal token new` makes another"
    if isinstance(error, modal.exception.NotFoundError):
        return f"not found on Modal: {line}"
    if isinstance(error, LOST):
        return f"no connection to Modal ({line}); run the same command again"
    return f"Modal: {line}"


def say(stage: str, line: str) -> None:
    print(f"{stage}: {line}", file=sys.stderr, flush=True)
