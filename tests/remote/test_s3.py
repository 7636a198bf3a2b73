"""The cache in S3: a small DVC project, the real client, and a server that checks signatures and permissions."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.pipeline.conftest import Project
from tests.remote.s3 import BUCKET, PREFIX, S3Server, documented_policy

pytestmark = pytest.mark.xdist_group("s3")

SOURCES = str(ROOT / "src")
FILES = 4

STAGE = """stages:
  repeat:
    cmd: python repeat.py
    deps: [repeat.py]
    params: [times]
    outs: [text.txt]
    metrics:
      - count.json:
          cache: false
"""
SCRIPT = """import pathlib
times = int(pathlib.Path("params.yaml").read_text().split(":")[1])
pathlib.Path("text.txt").write_text("meow\\n" * times)
pathlib.Path("count.json").write_text('{"lines": %d}' % times)
"""


@dataclass(frozen=True)
class Team:
    """A server, and a project whose cache was pushed to it by its first member."""

    server: S3Server
    project: Project
    directory: Path

    def clone(self, name: str) -> Project:
        path = self.directory / name
        subprocess.run(["git", "clone", "--quiet", self.project.path, path], check=True)
        return Project(path)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def damaged(objects: dict[str, bytes]) -> list[str]:
    """Keys of files whose content is not what their name says."""
    files = {key: content for key, content in objects.items() if key.startswith("files/md5/")}
    return [key for key, content in files.items() if "".join(key.split("/")[2:]).split(".")[0] != md5(content)]


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    directory = tmp_path_factory.mktemp("team")
    with S3Server(directory, documented_policy()) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        project = Project(directory / "first")
        project.path.mkdir()
        project.run("git", "init", "--quiet")
        (project.path / ".dvc").mkdir()
        (project.path / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
        (project.path / ".dvc/config").write_text(
            f"[core]\n    analytics = false\n    remote = storage\n"
            f"['remote \"storage\"']\n    url = s3://{BUCKET}/{PREFIX}\n    endpointurl = {server.url}\n    verify = true\n"
        )
        (project.path / "dvc.yaml").write_text(STAGE)
        (project.path / "repeat.py").write_text(SCRIPT)
        for times in (2, 3):
            (project.path / "params.yaml").write_text(f"times: {times}\n")
            project.dvc("repro", "--quiet")
        project.commit("Run")
        assert "files pushed" in project.dvc("push", "--run-cache")
        shared = project.run("tinycats", "share", PYTHONPATH=SOURCES).stdout
        assert shared == "2 runs are shared, 3 files were pushed\n"  # all but the current text
        yield Team(server, project, directory)


def test_a_second_clone_gets_files_and_finished_runs(team: Team) -> None:
    second = team.clone("second")
    second.dvc("pull")
    assert second.read("text.txt") == b"meow\n" * 3
    (second.path / "params.yaml").write_text("times: 2\n")
    output = second.dvc("repro", "--pull")
    assert "is cached - skipping run" in output
    assert second.ran(output) == []
    assert second.read("text.txt") == b"meow\n" * 2
    assert second.read("count.json") == b'{"lines": 2}'


def test_ci_downloads_nothing_that_it_does_not_need(team: Team) -> None:
    runner = team.clone("runner")
    assert runner.ran(runner.dvc("repro", "--pull", "--allow-missing")) == []
    assert not (runner.path / "text.txt").exists()


def test_credentials_can_come_from_a_profile(team: Team, home: Path) -> None:
    member = team.clone("profile")
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text(
        f"[team]\naws_access_key_id = {team.server.key_id}\naws_secret_access_key = {team.server.secret}\n"
    )
    member.dvc("remote", "modify", "--local", "storage", "profile", "team")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        member.dvc("pull")
    assert member.read("text.txt") == b"meow\n" * 3
    assert member.run("git", "status", "--porcelain").stdout == ""


def test_dvc_refuses_a_wrong_secret(team: Team) -> None:
    stranger = team.clone("stranger")
    before = team.server.objects()
    for command in ("pull", "push"):
        refused = stranger.run("dvc", command, check=False, AWS_SECRET_ACCESS_KEY="wrong")
        assert refused.returncode != 0
        assert "ERROR: " in refused.stderr
        assert "Traceback" not in refused.stderr
    assert not (stranger.path / "text.txt").exists()
    assert team.server.objects() == before


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch: the secret is not that of the key"),
        ({"AWS_ACCESS_KEY_ID": "wrong"}, "InvalidAccessKeyId: the service does not know this key"),
        ({"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "Unable to locate credentials"),
        ({"AWS_PROFILE": "nobody"}, "The config profile (nobody) could not be found"),
    ],
)
def test_what_is_wrong_with_credentials_is_said(team: Team, environment: dict[str, str], line: str) -> None:
    checked = team.project.run("tinycats", "remote", check=False, PYTHONPATH=SOURCES, **environment)
    assert checked.returncode == 1
    assert len(checked.stderr.splitlines()) == 1
    assert line in checked.stderr
    assert team.server.secret not in checked.stderr


def test_a_remote_is_checked(team: Team) -> None:
    member = team.clone("checked")
    assert (
        member.run("tinycats", "remote", PYTHONPATH=SOURCES).stdout
        == f"remote storage: s3://{BUCKET}/{PREFIX} can be read\n"
    )
    config = member.path / ".dvc/config"
    config.write_text(config.read_text().replace(f"s3://{BUCKET}", "s3://another").replace("verify = true", ""))
    refused = member.run("tinycats", "remote", check=False, PYTHONPATH=SOURCES)
    assert refused.returncode == 1
    assert "AccessDenied: the key may not list this bucket" in refused.stderr
    config.write_text(config.read_text().replace("s3://another", f"s3://{BUCKET}"))
    unverified = member.run("tinycats", "remote", PYTHONPATH=SOURCES)
    assert "downloads are not verified; run dvc remote modify storage verify true" in unverified.stderr


def test_a_registered_version_is_got_from_elsewhere_and_a_stage_moves_back(team: Team) -> None:
    member = team.clone("registry")
    text = member.path / "dvc.yaml"
    text.write_text(
        f"{text.read_text()}artifacts:\n  text: {{path: text.txt, type: model}}\n  other: {{path: other.txt}}\n"
    )
    member.commit("Declare artifacts")

    def register(*arguments: str) -> subprocess.CompletedProcess[str]:
        return member.run("tinycats", "register", *arguments, check=False, PYTHONPATH=SOURCES)

    def got(name: str, *arguments: str) -> bytes:
        """What somebody gets who has nothing but the address of the repository, and credentials."""
        elsewhere = team.directory / f"elsewhere-{name}"
        elsewhere.mkdir()
        Project(elsewhere).dvc("artifacts", "get", str(member.path), "text", "--out", "out.txt", *arguments)
        return (elsewhere / "out.txt").read_bytes()

    first = register("text", "--version", "1.0.0", "--stage", "prod").stdout
    assert first == "tagged text@v1.0.0, text#prod#1; share with: git push origin 'text@v1.0.0' 'text#prod#1'\n"
    (member.path / "params.yaml").write_text("times: 2\n")
    member.dvc("repro", "--pull")
    refused = register("text", "--version", "1.1.0")
    assert (
        refused.stderr == "error: dvc.lock: is not what is committed; commit it first, or name a revision with --rev\n"
    )
    member.commit("Run again")
    assert register("text", "--version", "1.1.0", "--stage", "prod").returncode == 0
    assert got("latest") == got("stage", "--stage", "prod") == b"meow\n" * 2
    assert got("version", "--rev", "v1.0.0") == b"meow\n" * 3

    back = register("text", "--version", "1.0.0", "--stage", "prod").stdout
    assert back == "tagged text#prod#3; share with: git push origin 'text#prod#3'\n"
    assert got("back", "--stage", "prod") == b"meow\n" * 3
    assert (
        register("text", "--version", "1.0.0", "--stage", "prod").stdout
        == "text: 1.0.0 is registered already, and in prod\n"
    )

    tags = member.run("git", "tag").stdout
    commit = member.run("git", "rev-parse", "--short=12", "HEAD~1").stdout.strip()
    for arguments, line in (
        (("txet", "--version", "1.2.0"), "txet: is no artifact of dvc.yaml; it has other, text"),
        (("text", "other", "--version", "1.2.0"), "has no other.txt; run `dvc repro` and commit dvc.lock"),
        (
            ("text", "--version", "1.0.0"),
            f"text: version 1.0.0 is commit {commit} already; give this one another version",
        ),
        (
            ("text", "--version", "1.2.0"),
            "text: cannot be registered as 1.2.0: 'text' is already registered in this commit",
        ),
        (("text", "--version", "1.2.0", "--rev", "nothing"), "is no git repository with a commit nothing"),
        (("text", "--version", "2"), "--version: must be MAJOR.MINOR.PATCH, such as 1.2.0, got '2'"),
    ):
        refused = register(*arguments)
        assert refused.returncode == 1
        assert line in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert member.run("git", "tag").stdout == tags


def test_what_the_policy_does_not_grant_is_refused(team: Team) -> None:
    """The server does check: another prefix of the same bucket is closed."""
    client = team.server.client()
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.put_object(Bucket=BUCKET, Key="elsewhere/file", Body=b"")


def test_an_object_corrupted_in_the_bucket_is_not_accepted(team: Team) -> None:
    member = team.clone("corrupted")
    digest = md5(b"meow\n" * 3)
    key = f"{PREFIX}/files/md5/{digest[:2]}/{digest[2:]}"
    client = team.server.client()
    client.put_object(Bucket=BUCKET, Key=key, Body=b"bark\n" * 3)
    try:
        done = member.run("dvc", "pull", check=False)
        assert done.returncode == 1
        assert "Checkout failed for following targets:\ntext.txt" in done.stderr
        assert not (member.path / "text.txt").exists()
    finally:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"meow\n" * 3)
    member.dvc("pull")
    assert member.read("text.txt") == b"meow\n" * 3


def test_a_server_killed_during_a_push_leaves_nothing_corrupt(team: Team) -> None:
    member = team.clone("large")
    contents = [bytes([number]) * 8_000_000 for number in range(FILES)]
    (member.path / "large").mkdir()
    for number, content in enumerate(contents):
        (member.path / f"large/{number}").write_bytes(content)
    member.dvc("add", "--quiet", "large")
    member.commit("Add large files")

    seen = team.server.log.stat().st_size
    command = [Path(sys.executable).parent / "dvc", "push", "--jobs", "1"]
    environment = {**os.environ, "AWS_MAX_ATTEMPTS": "1"}  # it would try each file for longer
    with subprocess.Popen(command, cwd=member.path, env=environment, stderr=subprocess.PIPE, text=True) as push:
        while '"PUT ' not in team.server.log.read_text()[seen:]:
            assert push.poll() is None, push.stderr and push.stderr.read()
            time.sleep(0.005)
        team.server.kill()
        assert push.stderr
        errors = push.stderr.read()
    assert push.returncode != 0
    assert "ERROR: " in errors

    team.server.restart()
    arrived = team.server.objects()
    large = {md5(content) for content in contents}
    there = {"".join(key.split("/")[2:]) for key in arrived} & large
    assert 0 < len(there) < len(large), "the server was to be killed in the middle"
    assert damaged(arrived) == []

    assert "files pushed" in member.dvc("push")
    complete = team.server.objects()
    assert damaged(complete) == []
    assert {"".join(key.split("/")[2:]) for key in complete} >= large
    other = team.directory / "other"
    subprocess.run(["git", "clone", "--quiet", member.path, other], check=True)
    Project(other).dvc("pull")
    assert [(other / f"large/{number}").read_bytes() for number in range(FILES)] == contents
