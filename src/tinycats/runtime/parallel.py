"""A function over a stream of items, on all cores, with the results in order and memory flat."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

from tinycats.runtime.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")

CHUNK = 32  # items that go to a worker at once
AHEAD = 2  # chunks for each worker that are read before their results are taken


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_order(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield function(item) for every item, in order. The function and what it takes and gives must be picklable.

    Only a few chunks of items are held in memory at a time. Processes, not threads: Pillow's own Python code would
    keep threads waiting for each other. Raises UserError where a worker is killed, else what the function raises.
    """
    workers = cores()
    remaining = iter(items)
    pending: deque[Future[list[Result]]] = deque()
    # Forked workers start at once and hold no more than Pillow and numpy; elsewhere fork is unsafe or missing.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare_worker) as pool:
        try:
            while True:
                while len(pending) < workers * AHEAD and (chunk := list(islice(remaining, CHUNK))):
                    pending.append(pool.submit(_apply, function, chunk))
                if not pending:
                    break
                yield from pending.popleft().result()
        except BrokenProcessPool:
            raise UserError("a worker process was killed; is there enough memory?") from None
        finally:
            for future in pending:
                future.cancel()


def _apply(function: Callable[[Item], Result], chunk: list[Item]) -> list[Result]:
    return [function(item) for item in chunk]


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it even where it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
