"""What a person sees while a run trains: a progress bar on a terminal, a line now and then elsewhere, and status.json."""

from __future__ import annotations

import math
import resource
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn, Self

import torch
from rich.console import Console
from rich.progress import MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Column

from tinycats.runtime.processes import is_main
from tinycats.runtime.status import State, write_status
from tinycats.runtime.track import bar_with, can_draw, silence

STATUS_EVERY_S = 2.0


class ProgressReport:
    """Shows and writes how far a run is, in the main process.

    `steps` is where the run ends, `start` where it begins or resumes, `run` its directory, `precision` what it computes in.
    """

    def __init__(
        self, stage: str, steps: int, start: int, batch_size: int, every_steps: int, run: Path, precision: str
    ) -> None:
        self.precision = precision
        self.stage, self.steps, self.start, self.batch_size, self.run = stage, steps, start, batch_size, run
        self.every_steps = max(every_steps, steps // 10)
        self.done, self.loss = start, math.nan
        self.saved_step: int | None = start or None
        self.stopped: signal.Signals | None = None
        self.started = self.status_at = time.monotonic()
        console = Console(stderr=True)
        self.bar = bar_with(
            console,
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
            TimeRemainingColumn(elapsed_when_finished=True),
            drawn=can_draw(console) and is_main(),
        )
        self.shown = ExitStack()
        self.task = self.bar.add_task(stage, total=steps, completed=start, figures="")

    def __enter__(self) -> Self:
        self.shown.enter_context(silence())
        self.shown.enter_context(self.bar)
        self._write("running")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Take the bar away and write the last status."""
        self.shown.close()
        if self.stopped:
            self._write("stopped")
            self._say(f"stopped by {self.stopped.name} after step {self.done}; run the same command again to resume")
        else:
            self._write("failed" if kind else "finished")

    def step(self, done: int, loss: float) -> None:
        """Report after `done` steps."""
        self.done, self.loss = done, loss
        figures = f"loss {loss:.4f}  {self._rate():.0f} img/s"
        self.bar.update(self.task, completed=done, figures=figures)
        if self.bar.disable and (done % self.every_steps == 0 or done == self.steps):
            self._say(f"step {done}/{self.steps}  {figures}")
        if time.monotonic() - self.status_at >= STATUS_EVERY_S:
            self._write("running")

    def stop(self, received: signal.Signals) -> NoReturn:
        """End the process as after this signal."""
        self.stopped = received
        raise SystemExit(128 + received)

    def _rate(self) -> float:
        """Images a second since this process began to train."""
        return (self.done - self.start) * self.batch_size / max(time.monotonic() - self.started, 1e-9)

    def _say(self, line: str) -> None:
        if is_main():
            print(f"{self.stage}: {line}", file=sys.stderr, flush=True)

    def _write(self, state: State) -> None:
        if not is_main():
            return
        self.status_at = time.monotonic()
        rate = self._rate()
        if torch.cuda.is_available():
            memory = torch.cuda.max_memory_allocated()
        else:
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        write_status(
            self.run,
            stage=self.stage,
            state=state,
            step=self.done,
            steps=self.steps,
            loss=self.loss if math.isfinite(self.loss) else None,
            images_per_second=rate,
            eta_s=(self.steps - self.done) * self.batch_size / rate if rate else 0.0,
            memory_mb=memory / 2**20,
            precision=self.precision,
            saved_step=self.saved_step,
        )
