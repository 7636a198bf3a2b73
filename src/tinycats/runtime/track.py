"""What a person sees of long work: a bar on a terminal, elsewhere a line every ten seconds; nothing stays of what is quick.

Only the outermost work is shown, and only by the main process. A terminal that cannot move its cursor (TERM=dumb) gets lines;
colours are off with NO_COLOR.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Literal, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

LINE_EVERY_S = 10.0
DRAW_EVERY_S = 0.1

Item = TypeVar("Item")
Unit = Literal["", "bytes"]
Advance = Callable[[float], None]


def track(items: Iterable[Item], what: str, total: int | None = None) -> Iterator[Item]:
    """Yield the items, and show how many are done. `total`: how many there are, where their length does not say so."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(what, total) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def progress(what: str, total: float | None = None, unit: Unit = "", lines_only: bool = False) -> Iterator[Advance]:
    """Show how far `what` is; yields a function to call with how much more of `total` is done. None: nobody knows.

    `lines_only`: on a terminal it shows bars of its own.
    """
    with _reporter.progress(what, total, unit, lines_only) as advance:
        yield advance


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Within it, what is shown begins with the name of the stage or command; where it fails, no bar is left behind."""
    with _reporter.naming(name):
        yield


@contextmanager
def silence() -> Iterator[None]:
    """Within it, nothing is shown: something else is, of which all is a part."""
    with _reporter.silence():
        yield


def can_draw(console: Console) -> bool:
    """Whether it is a terminal on which a bar can be drawn again and again."""
    return console.is_interactive and console.file.isatty()  # FORCE_COLOR makes no terminal of a file


def bar_with(console: Console, *figures: ProgressColumn, drawn: bool = True, by_itself: bool = True) -> Progress:
    """What is done, a bar, figures; never wider than the terminal. `by_itself`: a thread draws it again, ten times a second."""
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(None, table_column=Column(max_width=40)),
        *figures,
        console=console,
        disable=not drawn,
        auto_refresh=by_itself,
        redirect_stdout=sys.stdout.isatty(),
    )


class Reporter:
    """`clock`: seconds; `every_s`: between two lines, and how long work takes of which a line or a bar stays."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, every_s: float = LINE_EVERY_S) -> None:
        self._clock, self._every_s = clock, every_s
        self._name, self._silent, self._shown = "", False, ExitStack()
        self._said_at = clock()

    @contextmanager
    def naming(self, name: str) -> Iterator[None]:
        before, self._name, self._said_at = self._name, f"{name}: ", self._clock()
        try:
            yield
        finally:
            # Where a loop over kept images fails, what yields them, and shows the bar, is not closed
            self._shown.__exit__(*sys.exc_info())
            self._name = before

    @contextmanager
    def silence(self) -> Iterator[None]:
        before, self._silent = self._silent, True
        try:
            yield
        finally:
            self._silent = before

    @contextmanager
    def progress(self, what: str, total: float | None, unit: Unit = "", lines_only: bool = False) -> Iterator[Advance]:
        if self._silent or os.environ.get("RANK", "0") != "0":  # torchrun's number of the process
            yield lambda count: None
            return
        if not self._name:
            self._said_at = self._clock()  # nothing came before it
        console = Console(stderr=True)
        if can_draw(console) and lines_only:
            yield lambda count: None
            return
        show = self._bar if can_draw(console) else self._lines
        with ExitStack() as self._shown:
            self._shown.enter_context(self.silence())
            yield self._shown.enter_context(show(console, self._name + what, total, unit))

    @contextmanager
    def _bar(self, console: Console, title: str, total: float | None, unit: Unit) -> Iterator[Advance]:
        """No thread draws the bar where it advances: photos are worked on in forks of this process, and runs are timed."""
        time_column = TimeElapsedColumn() if total is None else TimeRemainingColumn(elapsed_when_finished=True)
        bar = bar_with(
            console,
            TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
            time_column,
            by_itself=total is None,
        )
        started = drawn_at = self._clock()
        done = 0.0
        task = bar.add_task(_shortened(title, console.width), total=total, figures=_amount(0, total, unit))

        def advance(count: float) -> None:
            nonlocal done, drawn_at
            done += count
            bar.update(task, completed=done, figures=_amount(done, total, unit))
            if (now := self._clock()) - drawn_at >= DRAW_EVERY_S:
                drawn_at = now
                bar.refresh()

        bar.start()
        try:
            yield advance
        finally:
            if total is None and (end := bar.tasks[0]).total is None:
                bar.update(task, total=max(end.completed, 1), completed=max(end.completed, 1))
            bar.live.transient = self._clock() - started < self._every_s
            bar.stop()

    @contextmanager
    def _lines(self, console: Console, title: str, total: float | None, unit: Unit) -> Iterator[Advance]:
        started, done, ended = self._clock(), 0.0, threading.Event()

        def say_if_due() -> None:
            now = self._clock()
            if now - self._said_at >= self._every_s:
                self._said_at = now
                seconds = now - started
                if total and done:
                    left = f", about {_time(seconds * (total - done) / done)} left"
                else:
                    left = f", for {_time(seconds)}" if seconds >= 1 else ""
                amount = _amount(done, total, unit)
                print(f"{title}{amount and f' {amount}'}{left}", file=sys.stderr, flush=True)

        def say_by_itself() -> None:
            while not ended.wait(self._every_s):
                say_if_due()

        def advance(count: float) -> None:
            nonlocal done
            done += count
            if done != total:
                say_if_due()

        if total is None:
            threading.Thread(target=say_by_itself, daemon=True).start()
        say_if_due()
        try:
            yield advance
        finally:
            ended.set()
        if (seconds := self._clock() - started) >= self._every_s and (total is None or round(done) >= total):
            self._said_at = self._clock()
            print(
                f"{title} {_amount(done, total, unit)}".rstrip(), f"took {_time(seconds)}", file=sys.stderr, flush=True
            )


_reporter = Reporter()


def _amount(done: float, total: float | None, unit: Unit) -> str:
    if unit == "bytes":
        return f"{done / 1e6:.0f} MB" if total is None else f"{done / 1e6:.0f}/{total / 1e6:.0f} MB"
    if total is None:
        return f"{done:.0f}" if done else ""
    return f"{done:.0f}/{total:.0f}"


def _shortened(title: str, width: int) -> str:
    """The title, with room left in the line for a bar and figures."""
    room = max(width - 32, 16)
    return title if len(title) <= room else f"{title[: room - 1]}…"


def _time(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
