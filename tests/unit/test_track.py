"""Progress of long work, as it is seen in a terminal, in a log, and by several processes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tinycats.runtime.track import Reporter, naming, progress, track

SCRIPT = """
import sys, time
from tinycats.runtime import track
track._reporter._every_s = float(sys.argv[1])  # how long work must take to stay on the screen
with track.naming("evaluate"):
    for number in track.track(range(437), "features of images with a name that is far too long for a line"):
        if number == 200:
            print("something in between")
    with track.progress("images.tar.gz", 792e6, "bytes") as advance:
        advance(396e6)
        time.sleep(0.2)
        advance(396e6)
    if sys.argv[2:]:
        kept = track.track(range(3), "what fails")
        for number in kept:
            raise SystemExit("error: it failed")
print("end")
"""
COLOUR = re.compile(r"\x1b\[[0-9;]*3[0-9][0-9;]*m")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def work(reporter: Reporter, clock: Clock, seconds: float, what: str, count: int) -> None:
    """Work on `count` things, each of which takes `seconds`."""
    with reporter.progress(what, count) as advance:
        for _ in range(count):
            clock.now += seconds
            advance(1)


def test_a_log_gets_a_line_every_ten_seconds(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(clock)
    with reporter.naming("evaluate"):
        work(reporter, clock, 4, "features", 8)
    assert capsys.readouterr().err.splitlines() == [
        "evaluate: features 3/8, about 0:00:20 left",
        "evaluate: features 6/8, about 0:00:08 left",
        "evaluate: features 8/8 took 0:00:32",
    ]


def test_many_quick_parts_are_not_silent(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(clock)
    with reporter.naming("evaluate"):
        for number in range(5):
            work(reporter, clock, 4, f"part {number}", 1)
    assert capsys.readouterr().err.splitlines() == ["evaluate: part 3 0/1"]


def test_what_is_quick_says_nothing(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    work(Reporter(clock), clock, 0.9, "quick", 10)
    assert capsys.readouterr().err == ""


def test_only_the_outermost_work_is_shown(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(clock)
    with reporter.progress("outer", 2) as advance:
        work(reporter, clock, 20, "inner", 3)
        advance(1)
    work(reporter, clock, 20, "after", 1)
    assert capsys.readouterr().err.splitlines() == ["outer 1/2, about 0:01:00 left", "after 1/1 took 0:00:20"]


def test_other_processes_say_nothing(
    clock: Clock, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    work(Reporter(clock), clock, 20, "features", 3)
    assert capsys.readouterr().err == ""


def test_what_nobody_can_count_speaks_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    said = threading.Event()

    class Stream:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text
            said.set()

        def flush(self) -> None: ...

        def isatty(self) -> bool:
            return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", stream := Stream())
        with Reporter(every_s=0.01).progress("tracing", None):
            assert said.wait(60)
    assert stream.text.splitlines()[0] == "tracing"
    assert stream.text.splitlines()[-1].startswith("tracing took ")


def test_it_gives_all_items_and_stops_asking_for_more() -> None:
    asked = []

    def items() -> Iterator[int]:
        for number in range(5):
            asked.append(number)
            yield number

    assert list(track(items(), "items")) == [0, 1, 2, 3, 4]
    asked.clear()
    for number in track(items(), "items"):
        if number == 1:
            break
    assert asked == [0, 1]
    with naming("a"), progress("b", 3) as advance:
        advance(3)


def on_terminal(*arguments: str, columns: int = 80, **more: str) -> tuple[str, int]:
    """All that the script writes to a terminal, and its exit code."""
    screen, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "FORCE_COLOR", "CI")}
    environment |= {"TERM": "xterm-256color", "COLUMNS": str(columns), **more}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *arguments], stdout=terminal, stderr=terminal, env=environment
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(screen, 1 << 16)
        except OSError:  # Linux says so at the end
            break
        if not part:
            break
        shown += part
    os.close(screen)
    return shown.decode(), process.wait(timeout=60)


def left_on_screen(shown: str) -> list[str]:
    """The lines that stay: of the controls, those that move the cursor up or to the first column, and erase a line."""
    screen, row = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\n|\r|[^\x1b\r\n]+", shown):
        if token == "\n":
            row += 1
            screen += [""] * (row + 1 - len(screen))
        elif token == "\x1b[2K":
            screen[row] = ""
        elif re.fullmatch(r"\x1b\[\d*A", token):
            row -= int(token[2:-1] or 1)
        elif token != "\r" and not token.startswith("\x1b"):
            screen[row] += token
    return [line for line in screen if line]


def test_a_terminal_gets_a_bar_that_fits_and_stays_where_it_took_long() -> None:
    shown, code = on_terminal("0")
    assert code == 0
    printed, features, archive, end = left_on_screen(shown)
    assert printed == "something in between"
    assert re.fullmatch(r"evaluate: features of images with a name that i… ━+ 437/437 \d:\d\d:\d\d", features)
    assert re.fullmatch(r"evaluate: images.tar.gz ━+ 792/792 MB \d:\d\d:\d\d", archive)
    assert end == "end"
    assert max(map(len, left_on_screen(shown))) <= 80
    assert "0/792 MB" in shown  # it was drawn before its end
    assert COLOUR.search(shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is there again


def test_a_terminal_keeps_nothing_of_what_is_quick() -> None:
    shown, _ = on_terminal("1000")
    assert "437/437" in shown
    assert left_on_screen(shown) == ["something in between", "end"]


@pytest.mark.parametrize("columns", [40, 60, 200])
def test_it_fits_other_terminals_too(columns: int) -> None:
    shown, _ = on_terminal("0", columns=columns)
    _, *bars, _ = left_on_screen(shown)
    assert len(bars) == 2
    assert max(map(len, bars)) <= columns
    assert all("━" in bar for bar in bars)


def test_no_colour_where_none_is_wanted() -> None:
    shown, _ = on_terminal("0", NO_COLOR="1")
    assert "437/437" in shown
    assert not COLOUR.search(shown)


def test_a_terminal_that_only_prints_gets_lines() -> None:
    shown, _ = on_terminal("0", TERM="dumb")
    assert "\x1b" not in shown
    assert "━" not in shown
    assert "features of images with a name that is far too long for a line 437/437 took 0:" in shown


def test_a_failure_leaves_no_bar_behind() -> None:
    shown, code = on_terminal("1000", "fail")
    assert code == 1
    assert left_on_screen(shown) == ["something in between", "error: it failed"]
    assert shown.rindex("\x1b[?25h") < shown.rindex("error: it failed")


def test_work_of_its_own_is_not_late_from_the_start(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    reporter = Reporter(clock)
    clock.now = 60  # since the program began
    work(reporter, clock, 1, "photos", 3)
    assert capsys.readouterr().err == ""
