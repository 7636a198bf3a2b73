"""A clone has the bytes that were committed, whatever its git is told about line ends."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.conftest import ROOT


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-c", "core.autocrlf=true", "-c", "core.eol=crlf", "-c", "user.name=a", "-c", "user.email=a@b.c"]
    return subprocess.run([*command, *arguments], cwd=directory, check=True, capture_output=True, text=True).stdout


def test_a_clone_with_other_line_ends_has_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    git(tmp_path / "one", "init", "-q")
    for name, content in {
        ".gitattributes": (ROOT / ".gitattributes").read_bytes(),
        "stages/fetch.py": (ROOT / "stages/fetch.py").read_bytes(),
        "metrics/a.csv": b"a\r\nb\n",
    }.items():
        (tmp_path / "one" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "one" / name).write_bytes(content)
    git(tmp_path / "one", "add", "-A")
    git(tmp_path / "one", "commit", "-qm", "one")
    git(tmp_path, "clone", "-q", "one", "two")
    for name in ("stages/fetch.py", "metrics/a.csv"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
