from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tinycats.publishing.revision import git_revision, tag_name


def git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
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


def test_a_tag_names_the_revision_and_the_content() -> None:
    revision = "0123456789abcdef" + "0" * 24
    tag = tag_name(revision, {"a": 1, "b": 2})
    assert re.fullmatch("git-0123456789ab-[0-9a-f]{8}", tag)
    assert tag_name(revision, {"b": 2, "a": 1}) == tag
    assert tag_name(revision, {"a": 1, "b": 3}) != tag
    assert re.fullmatch("git-0123456789ab-changes-[0-9a-f]{8}", tag_name(f"{revision}+changes", {}))
    assert re.fullmatch("git-none-[0-9a-f]{8}", tag_name(None, {}))
