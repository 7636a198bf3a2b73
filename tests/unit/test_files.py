"""Files and directories that appear whole or not at all, whatever happens to who writes them."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, atomic_path, scratch_directory, write_json

WRITE = {
    "file": """
        with atomic_path(Path("out/target")) as temporary:
            temporary.write_text("half")
            hold()
            temporary.write_text("whole")
    """,
    "directory": """
        with atomic_directory(Path("out/target")) as temporary:
            (temporary / "part").write_text("half")
            hold()
            (temporary / "part").write_text("whole")
    """,
    "scratch": """
        tempfile.tempdir = "out"
        with scratch_directory() as scratch:
            (scratch / "part").write_text("half")
            hold()
    """,
}
START = "import signal, sys, tempfile\nfrom pathlib import Path\nfrom tinycats.runtime.files import *\n"


def write(kind: str, hold: str, tmp_path: Path) -> subprocess.Popen[str]:
    """A process that writes, and calls `hold` half-way."""
    (tmp_path / "out").mkdir(exist_ok=True)
    code = f"{START}def hold():\n    {hold}\n{textwrap.dedent(WRITE[kind])}"
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=pipe, stdout=pipe, text=True)


def write_and_kill(kind: str, tmp_path: Path) -> None:
    assert write(kind, "signal.raise_signal(signal.SIGKILL)", tmp_path).wait() == -signal.SIGKILL


def targets(kind: str) -> list[str]:
    return [] if kind == "scratch" else ["target"]


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


@pytest.mark.parametrize("kind", WRITE)
def test_what_a_killed_process_left_is_gone_after_the_next_start(kind: str, tmp_path: Path) -> None:
    write_and_kill(kind, tmp_path)
    assert len(names(tmp_path / "out")) == 1, "it was not killed half-way"
    assert write(kind, "assert len(list(Path('out').iterdir())) == 1", tmp_path).wait() == 0
    assert names(tmp_path / "out") == targets(kind)


@pytest.mark.parametrize("kind", WRITE)
def test_what_another_process_still_writes_stays(kind: str, tmp_path: Path) -> None:
    with write(kind, "print(flush=True), sys.stdin.read()", tmp_path) as other:
        assert other.stdout is not None
        other.stdout.readline()
        assert write(kind, "pass", tmp_path).wait() == 0
        assert len([name for name in names(tmp_path / "out") if name.endswith(".tmp")]) == 1
        other.communicate()
    assert other.returncode == 0
    assert names(tmp_path / "out") == targets(kind)


@pytest.mark.parametrize("kind", WRITE)
def test_other_hidden_files_stay(kind: str, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    others = [".target.notes.tmp", ".target.0123456789abcdef", "target.0123456789abcdef.tmp", "tinycats-notes.tmp"]
    for name in others:
        (tmp_path / "out" / name).touch()
    assert write(kind, "pass", tmp_path).wait() == 0
    assert names(tmp_path / "out") == sorted([*others, *targets(kind)])


INTERRUPT = """
import os, sys, tempfile, tinycats.runtime.files
from pathlib import Path
from tinycats.runtime.files import *

FILES = tinycats.runtime.files.__file__

def content():
    target = Path("out/target")
    return target.read_text() if target.is_file() else {{path.name: path.read_text() for path in target.glob("*")}}

def write():
    def hold():
        pass
{write}

def interrupted(moment):
    "Whether it was interrupted at that instruction of the module, and what was to see then."
    count = 0
    def trace(frame, event, argument):
        nonlocal count
        if frame.f_code.co_filename != FILES:
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            count += 1
            if count == moment:
                raise KeyboardInterrupt
        return trace
    try:
        sys.settrace(trace)
        write()
        sys.settrace(None)
    except KeyboardInterrupt:
        sys.settrace(None)
        return True
    return False

moment = 0
while True:
    moment += 1
    child = os.fork()
    if not child:
        done = interrupted(moment)
        assert content() in ({{}}, "whole", {{"part": "whole"}}), content()
        os._exit(0 if done else 3)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 3:
        break
    assert code == 0, moment
    write()
    left = [path.name for path in Path("out").iterdir() if path.name != "target"]
    assert not left, (moment, left)
print(moment)
"""


@pytest.mark.parametrize("kind", WRITE)
def test_interrupted_at_any_instruction(kind: str, tmp_path: Path) -> None:
    """KeyboardInterrupt between any two of them: the target is whole or not there, and the next start leaves nothing."""
    (tmp_path / "out").mkdir()
    code = INTERRUPT.format(write=textwrap.indent(textwrap.dedent(WRITE[kind]), "    "))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "file") as temporary:
            temporary.write_text(str(1 / 0))
        with pytest.raises(ZeroDivisionError), atomic_directory(tmp_path / "directory") as temporary:
            (temporary / "part").write_text(str(1 / 0))
        (tmp_path / "file").write_text("old")
        (tmp_path / "directory").mkdir(exist_ok=True)
    assert names(tmp_path) == ["directory", "file"]
    assert (tmp_path / "file").read_text() == "old"


def test_where_there_are_no_locks_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    for content in ("first", "second"):
        with atomic_path(tmp_path / "file") as temporary:
            temporary.write_text(content)
        with atomic_directory(tmp_path / "directory") as temporary:
            (temporary / "part").write_text(content)
        assert (tmp_path / "file").read_text() == (tmp_path / "directory/part").read_text() == content
    with scratch_directory() as scratch:
        assert list(scratch.iterdir()) == []
    assert names(tmp_path) == ["directory", "file"]
    assert not scratch.exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_json_lacks_is_named_and_nothing_written(tmp_path, value):
    with pytest.raises(UserError, match=rf"a\.json: cannot hold x\.1\.kd_low = {value}"):
        write_json(tmp_path / "a.json", {"x": [1, {"kd_low": value}]})
    assert not list(tmp_path.iterdir())
