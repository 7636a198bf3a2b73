"""What a person sees while a run trains: a progress bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import resource
import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from tinycats.training.run_directory import RunDirectory

STATUS_EVERY_S = 2.0


class ProgressReport:
    """Shows and writes how far a run is. `steps` is where it ends, `start` where it begins or continues."""

    def __init__(
        self, stage: str, steps: int, start: int, batch_size: int, every_steps: int, run: RunDirectory
    ) -> None:
        self.stage, self.steps, self.start, self.batch_size = stage, steps, start, batch_size
        self.every_steps = max(every_steps, steps // 10)
        self.run = run
        self.started = time.monotonic()
        self.status_at = 0.0
        console = Console(stderr=True)
        self.bar = Progress(
            TextColumn(stage), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(), console=console, disable=not console.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task(stage, total=steps, completed=start, figures="")
        self.bar.start()

    def step(self, done: int, loss: float) -> None:
        """Report after `done` steps."""
        now = time.monotonic()
        rate = (done - self.start) * self.batch_size / max(now - self.started, 1e-9)
        figures = f"loss {loss:.4f}  {rate:.0f} img/s"
        self.bar.update(self.task, completed=done, figures=figures)
        if self.bar.disable and (done % self.every_steps == 0 or done == self.steps):
            print(f"{self.stage}: step {done}/{self.steps}  {figures}", file=sys.stderr, flush=True)
        if now - self.status_at >= STATUS_EVERY_S or done == self.steps:
            self.status_at = now
            self.run.write_status(
                stage=self.stage,
                step=done,
                steps=self.steps,
                loss=loss,
                images_per_second=rate,
                eta_s=(self.steps - done) * self.batch_size / max(rate, 1e-9),
                memory_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            )

    def close(self) -> None:
        self.bar.stop()
