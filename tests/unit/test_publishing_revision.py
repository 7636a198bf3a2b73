from __future__ import annotations

import subprocess
from pathlib import Path

from tinycats.publishing.revision import git_revision


def git(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    command = ["git", "-C", str(root), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_revision(tmp_path: Path) -> None:
    assert git_revision(tmp_path, ["src"]) is None
    git(tmp_path, "init", "--quiet")
    assert git_revision(tmp_path, ["src"]) is None  # no commit yet
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("a = 1\n")
    (tmp_path / "dvc.lock").write_text("schema: '2.0'\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert len(head) == 40
    (tmp_path / "dvc.lock").write_text("changed by the run\n")
    git(tmp_path, "commit", "--quiet", "--all", "-m", "the run")
    (tmp_path / "src/notes.txt").write_text("not tracked\n")
    assert git_revision(tmp_path, ["src", "not-there"]) == head
    (tmp_path / "src/a.py").write_text("a = 2\n")
    assert git_revision(tmp_path, ["src", "not-there"]) == f"{head}+changes"
