"""Starts a job in several processes on this machine, as torchrun does."""

from __future__ import annotations

import logging
import os
import signal
import uuid
from collections.abc import Callable
from typing import Any

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from tinycats.runtime.errors import UserError, one_line_errors
from tinycats.runtime.files import scratch_directory
from tinycats.runtime.processes import is_main, process_group

_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")  # the launcher's default


def launch(processes: int, job: Callable[..., None], arguments: dict[str, Any]) -> None:
    """Run `job(**arguments)` in each of them. Raises SystemExit with the exit code of the first that fails."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max((os.cpu_count() or 1) // processes, 1)))
    # What is ignored stays ignored, as SIGHUP under nohup
    handled = [name for name in _SIGNALS if signal.getsignal(signal.Signals[name]) is not signal.SIG_IGN]
    for noisy in ("torch.distributed.elastic", "torch.multiprocessing"):  # tracebacks of their own on every failure
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    with scratch_directory() as logs:  # the launcher would leave its own behind
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=processes,
            logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
            run_id=uuid.uuid4().hex,
            rdzv_backend="c10d",
            rdzv_endpoint="127.0.0.1:0",
            max_restarts=0,
            signals_to_handle=",".join(handled),
        )
        try:
            elastic_launch(config, _worker)(job, arguments)
        except ChildFailedError as error:
            _, failure = error.get_first_failure()
            raise SystemExit(failure.exitcode) from None


def _worker(job: Callable[..., None], arguments: dict[str, Any]) -> None:
    with one_line_errors(), process_group():
        try:
            job(**arguments)
        except UserError:
            if is_main():
                raise
            # every process has found the same: the main one says it, and fails for all
