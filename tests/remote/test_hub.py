"""Uploads and rollbacks: the real client against a server that speaks the Hub's protocol, with everything that can fail."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.remote.conftest import READ, WRITE, hub_environment, run_python
from tests.remote.hub_server import Blob, Commit, Fault, HubServer, Repository

UPLOAD = """
import sys
import time
from pathlib import Path
from tinycats.runtime.errors import one_line_errors
from tinycats.publishing import hub
hub.FIRST_WAIT_S = 0.01
with one_line_errors():
    version = next((word[1:] for word in sys.argv if word.startswith("v")), None)
    repository = hub.Repository("ann/cats", "space" if "space" in sys.argv else "model")
    hub.upload(Path(sys.argv[1]), repository, sys.argv[2], private="private" in sys.argv, version=version)
"""
ROLLBACK = """
import sys
import time
from tinycats.cli import main
from tinycats.publishing import hub
hub.FIRST_WAIT_S = 0.01
sys.argv = ["tinycats", "rollback", "--repo", "ann/cats", "--to", *sys.argv[1:]]
main()
"""
MODEL = "classifier/model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "publish", 1)


def write_folder(path: Path, version: int) -> Path:
    """What `publish` writes, in small: large files that go through LFS, and small ones in git."""
    files = {
        "README.md": f"---\nlicense: mit\n---\n\n# cats {version}\n".encode(),
        "manifest.json": json.dumps({"schema_version": 1, "version": version}).encode(),
        "classifier/config.json": b"{}\n",
        MODEL: bytes([version]) * 300_000,
        "onnx/classifier.onnx": b"the same in each version" * 10_000,
        f"samples/of_{version}.png": bytes([version]) * 2_000,
    }
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def upload(
    server: HubServer, folder: Path, tag: str = "git-1", token: str | None = WRITE, *more: str
) -> subprocess.CompletedProcess[str]:
    return run_python(UPLOAD, hub_environment(server, folder.parent / "home", token), folder, tag, *more)


def rollback(
    server: HubServer, home: Path, to: str, token: str = WRITE, *more: str
) -> subprocess.CompletedProcess[str]:
    # Not in the project: a version there may have tags in git
    return run_python(ROLLBACK, hub_environment(server, home, token), to, *more, cwd=home.parent)


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def error_line(done: subprocess.CompletedProcess[str]) -> str:
    """The last line of a command that failed for a reason; before it there is only what was tried again."""
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert WRITE not in done.stdout + done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def test_the_first_upload_creates_the_repository_and_tags_one_commit(hub: HubServer, folder: Path) -> None:
    output = succeeded(upload(hub, folder))
    repository = hub.repositories["ann/cats"]
    assert repository.contents() == contents(folder)
    assert len(repository.history()) == 2  # that of the creation, and one for everything
    assert repository.tags == {"git-1": repository.branches["main"]}
    assert repository.branches["main"] in output
    assert not repository.private
    assert len(repository.objects) == 3  # large files are no part of git


def test_a_private_repository(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder, "git-1", WRITE, "private"))
    assert hub.repositories["ann/cats"].private
    succeeded(upload(hub, write_folder(folder.parent / "second", 2), "git-2"))
    assert hub.repositories["ann/cats"].private


def test_nothing_is_sent_where_nothing_changed(hub: HubServer, folder: Path) -> None:
    first = succeeded(upload(hub, folder))
    commit = hub.repositories["ann/cats"].branches["main"]
    hub.requests.clear()
    second = succeeded(upload(hub, folder))
    assert hub.repositories["ann/cats"].branches["main"] == commit
    assert [method for method, _ in hub.requests if method == "PUT"] == []
    assert hub.asked("POST", "preupload|commit|batch|create") == []
    assert "is now at" in first
    assert f"was already at {commit}" in second


def test_the_next_version_sends_what_differs_and_deletes_the_rest(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder))
    hub.requests.clear()
    second = write_folder(folder.parent / "second", 2)
    succeeded(upload(hub, second, "git-2"))
    repository = hub.repositories["ann/cats"]
    assert repository.contents() == contents(second)
    assert repository.contents("git-1") == contents(folder)
    assert len(repository.history()) == 3
    assert len(hub.asked("PUT", "storage")) == 2  # weights and picture; the ONNX file is there


def test_a_repository_of_something_else_is_left_alone(hub: HubServer, folder: Path) -> None:
    repository = hub.repositories["ann/cats"] = Repository(private=False)
    head = repository.add(Commit(None, "mine", {"README.md": Blob(b"my work"), "thesis.tex": Blob(b"years")}))
    assert "holds something else (README.md, thesis.tex)" in error_line(upload(hub, folder))
    assert repository.branches["main"] == head


def test_no_token(hub: HubServer, folder: Path) -> None:
    line = error_line(upload(hub, folder, token=None))
    assert "set HF_TOKEN or run `hf auth login`" in line
    assert hub.requests == []


def test_the_token_of_the_login(hub: HubServer, folder: Path) -> None:
    environment = hub_environment(hub, folder.parent / "home", None)
    login = "from huggingface_hub import login; import sys; login(token=sys.argv[1])"
    succeeded(run_python(login, environment, WRITE))
    succeeded(upload(hub, folder, token=None))
    assert hub.repositories["ann/cats"].contents() == contents(folder)


def test_a_token_that_is_none(hub: HubServer, folder: Path) -> None:
    assert "does not accept the token" in error_line(upload(hub, folder, token="hf_invented"))
    assert hub.repositories == {}


def test_a_token_that_may_only_read(hub: HubServer, folder: Path) -> None:
    words = "the token of ann (role: read) may not write to it; use a token with write access"
    assert words in error_line(upload(hub, folder, token=READ))
    assert hub.repositories == {}
    succeeded(upload(hub, folder))
    head = hub.repositories["ann/cats"].branches["main"]
    second = write_folder(folder.parent / "second", 2)
    assert words in error_line(upload(hub, second, "git-2", token=READ))
    assert hub.repositories["ann/cats"].branches == {"main": head}
    assert hub.asked("PUT", "storage") == hub.asked("PUT", "storage")[:3]  # none of the second version


def test_too_many_requests_are_waited_out(hub: HubServer, folder: Path) -> None:
    """Whichever request it is that the Hub has no time for."""
    hub.faults = [
        Fault(method, path, "status", status=429, headers={"Retry-After": "1"})
        for method, path in (
            ("GET", "/api/models/ann/cats$"),
            ("POST", "/api/repos/create"),
            ("GET", "/tree/"),
            ("POST", "/preupload/"),
            ("POST", "/objects/batch"),
            ("PUT", "/storage/"),
            ("POST", "/commit/"),
            ("POST", "/tag/"),
        )
    ]
    succeeded(upload(hub, folder))
    repository = hub.repositories["ann/cats"]
    assert [fault.times for fault in hub.faults] == [0] * 8
    assert repository.contents() == contents(folder)
    assert len(repository.history()) == 2
    assert repository.tags == {"git-1": repository.branches["main"]}


def test_a_limit_of_hours_is_not_waited_out(hub: HubServer, folder: Path) -> None:
    hub.faults = [Fault("POST", "/commit/", "status", times=99, status=429, headers={"Retry-After": "7200"})]
    assert "accepts no more requests for now (429)" in (line := error_line(upload(hub, folder)))
    assert "run this again in 7200 s" in line
    assert hub.repositories["ann/cats"].contents() == {}
    hub.faults.clear()
    succeeded(upload(hub, folder))
    assert hub.repositories["ann/cats"].contents() == contents(folder)


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("PUT", "/storage/", "cut_in_the_middle"),
        ("POST", "/commit/", "cut_in_the_middle"),
        ("POST", "/commit/", "cut_before_the_answer"),
        ("POST", "/tag/", "cut_before_the_answer"),
        ("GET", "/tree/", "cut_the_answer"),
    ],
)
def test_a_connection_that_breaks_heals(hub: HubServer, folder: Path, method: str, path: str, kind: str) -> None:
    """Where the commit was made and only its answer is lost, it is found, not made again."""
    hub.faults = [Fault(method, path, kind)]  # type: ignore[arg-type]
    succeeded(upload(hub, folder))
    repository = hub.repositories["ann/cats"]
    assert hub.faults[0].times == 0
    assert repository.contents() == contents(folder)
    assert len(repository.history()) == 2
    assert repository.tags == {"git-1": repository.branches["main"]}


def test_a_network_that_stays_broken(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder))
    head = hub.repositories["ann/cats"].branches["main"]
    hub.faults = [Fault("POST", "/commit/", "cut_in_the_middle", times=99)]
    second = write_folder(folder.parent / "second", 2)
    line = error_line(upload(hub, second, "git-2"))
    assert "cannot be reached" in line
    assert "nothing is half published, run this again" in line
    assert hub.repositories["ann/cats"].branches == {"main": head}
    assert set(hub.repositories["ann/cats"].tags) == {"git-1"}
    hub.faults.clear()
    hub.requests.clear()
    succeeded(upload(hub, second, "git-2"))
    assert hub.asked("PUT", "storage") == []  # the large files had arrived
    assert hub.repositories["ann/cats"].contents() == contents(second)


def test_no_server_at_all(hub: HubServer, folder: Path) -> None:
    hub.stop()
    assert "cannot be reached" in error_line(upload(hub, folder))


def test_killed_in_the_middle_of_a_large_file(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder))
    head = hub.repositories["ann/cats"].branches["main"]
    second = write_folder(folder.parent / "second", 2)
    fault = Fault("PUT", "/storage/", "hang_in_the_middle")
    hub.faults = [fault]
    environment = hub_environment(hub, folder.parent / "home")
    process = subprocess.Popen([sys.executable, "-c", UPLOAD, str(second), "git-2"], env=environment)
    assert fault.reached.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert hub.repositories["ann/cats"].branches == {"main": head}
    assert hub.repositories["ann/cats"].contents() == contents(folder)
    succeeded(upload(hub, second, "git-2"))
    assert hub.repositories["ann/cats"].contents() == contents(second)


def test_a_tag_that_could_not_be_made_is_made_by_the_next_call(hub: HubServer, folder: Path) -> None:
    hub.faults = [Fault("POST", "/tag/", "status", times=99, status=503)]
    assert "the Hub refuses" in error_line(upload(hub, folder))
    repository = hub.repositories["ann/cats"]
    assert repository.contents() == contents(folder)
    hub.faults.clear()
    succeeded(upload(hub, folder))
    assert repository.tags == {"git-1": repository.branches["main"]}
    assert len(repository.history()) == 2


def test_a_storage_that_refuses(hub: HubServer, folder: Path) -> None:
    hub.faults = [Fault("PUT", "/storage/", "status", times=99, status=400)]
    assert "the Hub refuses" in error_line(upload(hub, folder))
    assert hub.repositories["ann/cats"].contents() == {}


def test_somebody_else_commits_in_the_meantime(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder))
    repository = hub.repositories["ann/cats"]
    fault = Fault("PUT", "/storage/", "hang_in_the_middle")
    hub.faults = [fault]
    second = write_folder(folder.parent / "second", 2)
    environment = hub_environment(hub, folder.parent / "home")
    command = [sys.executable, "-c", UPLOAD, str(second), "git-2"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert fault.reached.wait(60)
    head = repository.branches["main"]
    theirs = repository.add(Commit(head, "theirs", {**repository.commits[head].files, "README.md": Blob(b"theirs")}))
    fault.kind = "cut_in_the_middle"  # this attempt fails, the client's next is answered
    stdout, stderr = process.communicate(timeout=120)
    line = error_line(subprocess.CompletedProcess(command, process.returncode, stdout, stderr))
    assert f"another commit, {theirs}, was made in the meantime" in line
    assert repository.branches["main"] == theirs


def test_rollback_to_a_tag_and_forward_again(hub: HubServer, folder: Path) -> None:
    second = write_folder(folder.parent / "second", 2)
    succeeded(upload(hub, folder, "git-0123456789ab-11111111"))
    succeeded(upload(hub, second, "git-ba9876543210-22222222"))
    repository, home = hub.repositories["ann/cats"], folder.parent / "home"
    hub.requests.clear()
    output = succeeded(rollback(hub, home, "git-0123456789ab-11111111"))
    assert repository.contents() == contents(folder)
    assert len(repository.history()) == 4  # nothing is taken out of the history
    assert repository.branches["main"] in output
    assert hub.asked("PUT", "storage") == []  # the Hub copies large files itself
    succeeded(rollback(hub, home, "BA98765432100000000000000000000000000000"))  # a git revision
    assert repository.contents() == contents(second)
    succeeded(rollback(hub, home, repository.history()[3][:10]))  # a commit of the repository
    assert repository.contents() == contents(folder)
    succeeded(rollback(hub, home, "git-0123456789ab-11111111"))
    assert len(repository.history()) == 6  # it was there already
    succeeded(upload(hub, second, "git-ba9876543210-22222222"))  # and a tag stays where it was
    assert repository.contents() == contents(second)
    assert repository.contents("git-ba9876543210-22222222") == contents(second)


def test_rollbacks_that_cannot_be(hub: HubServer, folder: Path) -> None:
    home = folder.parent / "home"
    assert "no such repository" in error_line(rollback(hub, home, "git-1"))
    succeeded(upload(hub, folder, "git-0123456789ab-11111111"))
    succeeded(upload(hub, write_folder(folder.parent / "second", 2), "git-0123456789ab-22222222"))
    repository = hub.repositories["ann/cats"]
    history = repository.history()
    tags = "git-0123456789ab-11111111, git-0123456789ab-22222222"
    assert f"has no revision v9; its tags: {tags}" in error_line(rollback(hub, home, "v9"))
    assert f"published more than once; name one of {tags}" in error_line(rollback(hub, home, "0123456789abcdef"))
    assert "has no manifest.json" in error_line(rollback(hub, home, history[-1]))
    assert "role: read" in error_line(rollback(hub, home, "git-0123456789ab-11111111", READ))
    assert repository.history() == history


@pytest.mark.parametrize("kind", ["cut_in_the_middle", "cut_before_the_answer"])
def test_a_rollback_that_breaks_heals(hub: HubServer, folder: Path, kind: str) -> None:
    succeeded(upload(hub, folder, "git-1"))
    succeeded(upload(hub, write_folder(folder.parent / "second", 2), "git-2"))
    hub.faults = [Fault("POST", "/commit/", kind)]  # type: ignore[arg-type]
    succeeded(rollback(hub, folder.parent / "home", "git-1"))
    assert hub.repositories["ann/cats"].contents() == contents(folder)
    assert len(hub.repositories["ann/cats"].history()) == 4


def test_rollback_without_a_repository(tmp_path: Path, hub: HubServer) -> None:
    """params.yaml names none, and `--repo` names no repository."""
    environment = hub_environment(hub, tmp_path)
    code = "import sys; from tinycats.cli import main; sys.argv[1:1] = ['rollback', '--to', 'x']; main()"
    line = error_line(run_python(code, environment))
    assert "publish.hub.repo_id is not set; name the repository with --repo user/name" in line
    assert "--repo: must be user/name, got 'cats'" in error_line(run_python(code, environment, "--repo", "cats"))


def test_a_version_is_a_tag_that_stays(hub: HubServer, folder: Path) -> None:
    succeeded(upload(hub, folder, "git-1", WRITE, "v1.2.0"))
    repository = hub.repositories["ann/cats"]
    first = repository.branches["main"]
    assert repository.tags == {"git-1": first, "v1.2.0": first}
    second = write_folder(folder.parent / "second", 2)
    line = error_line(upload(hub, second, "git-2", WRITE, "v1.2.0"))
    assert f"has other models as version 1.2.0, at {first}; give these another one" in line
    assert repository.branches["main"] == first
    succeeded(upload(hub, second, "git-2", WRITE, "v1.3.0"))
    succeeded(rollback(hub, folder.parent / "home", "v1.2.0"))
    assert repository.contents() == contents(folder)
    succeeded(upload(hub, folder, "git-1", WRITE, "v1.2.0"))  # what it is, it may be again
    assert repository.tags["v1.2.0"] == first


def write_page(path: Path, version: int) -> Path:
    """What `write_space` writes, in small."""
    header = {"title": "cats", "sdk": "static", "custom_headers": {"cross-origin-opener-policy": "same-origin"}}
    files = {
        "README.md": f"---\n{json.dumps(header)}\n---\n".encode(),
        "index.html": b"<!doctype html>",
        f"assets/page-{version}.js": f"// {version}".encode() * 5,
        "assets/ort.wasm": b"the same in each version" * 500_000,
        "models/manifest.json": json.dumps({"schema_version": 3, "version": version}).encode(),
        "models/onnx/classifier.onnx": b"the same in each version" * 10_000,
    }
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


def test_a_space_is_created_updated_in_one_commit_and_rolled_back(hub: HubServer, tmp_path: Path) -> None:
    first, second = write_page(tmp_path / "first", 1), write_page(tmp_path / "second", 2)
    output = succeeded(upload(hub, first, "git-1", WRITE, "space", "v1.0.0"))
    assert "spaces/ann/cats is now at" in output
    repository = hub.repositories["spaces/ann/cats"]
    assert repository.contents() == contents(first)  # and nothing of the page that the Hub had put there
    assert len(repository.history()) == 2
    assert len(repository.objects) == 2
    hub.requests.clear()
    assert "was already at" in succeeded(upload(hub, first, "git-1", WRITE, "space", "v1.0.0"))
    assert hub.asked("POST", "preupload|commit|batch|create") == []
    hub.requests.clear()
    succeeded(upload(hub, second, "git-2", WRITE, "space", "v1.0.0"))  # another page with the same models
    assert repository.contents() == contents(second)
    assert hub.asked("PUT", "storage") == []  # the large files are there
    assert repository.tags["v1.0.0"] == repository.tags["git-1"]
    rolled = succeeded(rollback(hub, tmp_path / "home", "git-1", WRITE, "--space"))
    assert "spaces/ann/cats is now at" in rolled
    assert repository.contents() == contents(first)
    assert list(hub.repositories) == ["spaces/ann/cats"]  # no model is called like it


def test_a_space_that_somebody_has_written_is_left_alone(hub: HubServer, tmp_path: Path) -> None:
    page = write_page(tmp_path / "page", 1)
    files = {"README.md": Blob(b"---\nsdk: static\n---\n"), "index.html": Blob(b"mine"), "style.css": Blob(b"")}
    repository = hub.repositories["spaces/ann/cats"] = Repository(private=False)
    repository.add(Commit(None, "initial commit", files))
    head = repository.add(Commit(repository.branches["main"], "mine", files))
    line = error_line(upload(hub, page, "git-1", WRITE, "space"))
    assert "publish.hub.space_id: spaces/ann/cats holds something else (README.md, index.html, style.css)" in line
    assert repository.branches["main"] == head
    other = hub.repositories["spaces/ann/cats"] = Repository(private=False)
    head = other.add(Commit(None, "Duplicate from bob/dogs", {**files, "app.js": Blob(b"his")}))
    assert "holds something else" in error_line(upload(hub, page, "git-1", WRITE, "space"))
    assert other.branches["main"] == head


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [("PUT", "/storage/", "cut_in_the_middle"), ("POST", "/commit/", "cut_before_the_answer")],
)
def test_an_upload_of_a_space_that_breaks_heals(
    hub: HubServer, tmp_path: Path, method: str, path: str, kind: str
) -> None:
    hub.faults = [Fault(method, path, kind)]  # type: ignore[arg-type]
    page = write_page(tmp_path / "page", 1)
    succeeded(upload(hub, page, "git-1", WRITE, "space"))
    repository = hub.repositories["spaces/ann/cats"]
    assert hub.faults[0].times == 0
    assert repository.contents() == contents(page)
    assert len(repository.history()) == 2


def test_a_space_whose_creation_was_all_that_arrived(hub: HubServer, tmp_path: Path) -> None:
    hub.faults = [Fault("POST", "/commit/", "status", times=99, status=400)]
    page = write_page(tmp_path / "page", 1)
    assert "spaces/ann/cats: the Hub refuses" in error_line(upload(hub, page, "git-1", WRITE, "space"))
    hub.faults.clear()
    succeeded(upload(hub, page, "git-1", WRITE, "space"))
    assert hub.repositories["spaces/ann/cats"].contents() == contents(page)


def test_a_rollback_to_a_version_moves_the_stage_of_its_models(hub: HubServer, folder: Path) -> None:
    """In the checkout where it is called, and only of models that are in use in another version."""
    checkout = folder.parent / "checkout"
    checkout.mkdir()
    environment = hub_environment(hub, folder.parent / "home")

    def git(*arguments: str) -> list[str]:
        done = subprocess.run(["git", *arguments], cwd=checkout, capture_output=True, text=True, check=True)
        return done.stdout.split()

    def tinycats(*arguments: str) -> str:
        code = "from tinycats.cli import main; main()"
        return succeeded(run_python(code, environment, *arguments, cwd=checkout))

    models = ("classifier", "generator", "student")
    (checkout / "dvc.yaml").write_text(json.dumps({"artifacts": {name: {"path": f"models/{name}"} for name in models}}))
    outs = [{"path": f"models/{name}"} for name in models]
    (checkout / "dvc.lock").write_text(json.dumps({"stages": {"train": {"outs": outs}}}))
    git("init", "--quiet")
    git("add", ".")
    for number, (version, names) in enumerate({"1.0.0": models, "1.1.0": models[:2]}.items(), start=1):
        git("commit", "--quiet", "--allow-empty", "--message", version)
        tinycats("register", *names, "--version", version, "--stage", "prod")
        if number == 1:
            git("tag", "--delete", "generator#prod#1")  # registered, but not in use
        succeeded(upload(hub, write_folder(folder.parent / version, number), f"git-{number}", WRITE, f"v{version}"))
    (checkout / "dvc.lock").write_text("of a run that is not committed")
    time.sleep(1)  # tags of one second have no order
    output = tinycats("rollback", "--repo", "ann/cats", "--to", "v1.0.0")
    repository = hub.repositories["ann/cats"]
    assert repository.contents() == contents(folder.parent / "1.0.0")
    assert "prod is 1.0.0 again: classifier#prod#3, generator#prod#2;" in output
    assert git("rev-parse", "classifier#prod#3^{commit}") == git("rev-parse", "classifier@v1.0.0^{commit}")
    before = git("tag")
    assert "again" not in tinycats("rollback", "--repo", "ann/cats", "--to", "git-1")
    assert git("tag") == before
