"""The workflows of GitHub: valid, pinned, and every line that they run is run here, in the tiny project.

GitHub itself is stood in for by a `gh` that writes down its arguments, a bare repository as origin, and the values that
its expressions would have.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.conftest import Project
from tests.remote.conftest import WRITE, hub_variables
from tests.remote.hub_server import Fault, HubServer, User

BIN = Path(sys.executable).parent
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))}
JOBS_RUN_HERE = {("report", "report"), ("train", "train"), ("deploy", "build"), ("release", "release")}
NOT_HERE = {
    "make web experiments": "`make test` makes both, and tests/pipeline/test_space.py builds a Space",
    "make test": "it is what runs this",
    "make audit": "it asks services on the network",
    "make sbom": "tests/unit/test_joining.py runs its script",
    "npm ci && npm run build": "`make test` builds the page, for its browser tests",
}
GH = """#!/usr/bin/env bash
echo "$*" >> "$GH_LOG"
[[ $1 $2 != "pr view" ]]
""".replace("$1 $2", '"$1 $2"')


def jobs() -> list[tuple[str, str, dict[str, Any]]]:
    return [(name, key, job) for name, workflow in WORKFLOWS.items() for key, job in workflow["jobs"].items()]


@dataclass
class Runner:
    """Does what a runner does with a job's `run` steps; `values` are those of GitHub's expressions."""

    project: Project
    directory: Path
    values: dict[str, str]

    def __post_init__(self) -> None:
        self.bin = self.directory / "bin"
        self.bin.mkdir()
        (self.bin / "gh").write_text(GH)
        (self.bin / "gh").chmod(0o755)
        self.log = self.directory / "gh.log"
        self.output = self.directory / "output"
        self.log.touch()
        (self.project.path / ".venv").mkdir()
        (self.project.path / ".venv/installed").touch()  # `make setup` has nothing to do
        self.environment = {
            "GITHUB_PATH": str(self.directory / "path"),
            "GITHUB_OUTPUT": str(self.output),
            "GITHUB_SERVER_URL": "https://github.example",
            "GITHUB_REPOSITORY": "team/cats",
            "GH_LOG": str(self.log),
        }

    def run_job(self, workflow: str, job: str) -> list[subprocess.CompletedProcess[str]]:
        """The steps that were run, the last of which may have failed."""
        content = WORKFLOWS[workflow]["jobs"][job]
        done: list[subprocess.CompletedProcess[str]] = []
        for step in content["steps"]:
            if "run" not in step or step["run"] in NOT_HERE or not self.holds(step.get("if", "")):
                continue
            env = {
                name: self.evaluate(str(value))
                for name, value in {**content.get("env", {}), **step.get("env", {})}.items()
            }
            done.append(self.run(step["run"], **env))
            if done[-1].returncode:
                break
        return done

    def run(self, script: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", f'PATH="{self.bin}:$PATH"\n{script}']
        return self.project.run(*command, check=False, **self.environment, **env)

    def evaluate(self, text: str) -> str:
        return re.sub(r"\$\{\{ (.+?) \}\}", lambda match: self.values[match[1]], text)

    def holds(self, condition: str) -> bool:
        """Of `steps.ID.outputs.NAME == 'VALUE'`, what the step has written."""
        if not condition:
            return True
        match = re.fullmatch(r"steps\.\w+\.outputs\.(\w+) == '(\w+)'", condition)
        assert match
        return f"{match[1]}={match[2]}" in self.output.read_text().splitlines()


def no_failure(done: list[subprocess.CompletedProcess[str]]) -> str:
    output = "\n".join(step.stdout + step.stderr for step in done)
    assert all(step.returncode == 0 for step in done), output
    return output


@pytest.fixture
def runner(project: Project, tmp_path: Path) -> Runner:
    """The project as a checkout with a remote and an origin."""
    config = project.path / ".dvc/config"
    text = config.read_text().replace("[core]\n", "[core]\n    remote = storage\n")
    config.write_text(f"{text}['remote \"storage\"']\n    url = {tmp_path / 'remote'}\n")
    project.commit("Share")
    project.run("git", "clone", "--quiet", "--bare", ".", str(tmp_path / "origin"))
    project.run("git", "remote", "add", "origin", str(tmp_path / "origin"))
    project.run("git", "fetch", "--quiet", "origin")
    values = {
        "github.token": "token",
        "github.ref_name": "main",
        "github.ref_type == 'tag' && github.ref_name || ''": "",
        "github.run_id": "11",
        "github.server_url": "https://github.example",
        "github.repository": "team/cats",
        "github.event.repository.default_branch": "main",
        "github.event.pull_request.number": "7",
        "github.event.pull_request.base.sha": "origin/main",
        **{f"secrets.{name}": "" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")},
        **{f"secrets.MODAL_TOKEN_{name}": "" for name in ("ID", "SECRET")},
        "inputs.space_id || vars.HUB_SPACE_ID": "",
        **{f"inputs.{name}": "" for name in ("steps", "batch_size", "lr", "data")},
        "inputs.compute || 'modal'": "local",  # Modal itself: tests/remote/test_modal.py
    }
    return Runner(project, tmp_path, values)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({WRITE: User("ann", "write")})
    yield server
    server.stop()


def test_they_are_valid() -> None:
    paths = sorted(map(str, (ROOT / ".github/workflows").glob("*.yml")))
    assert len(paths) == 5
    subprocess.run([BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *paths], check=True)


def test_the_linter_finds_nothing() -> None:
    command = [BIN / "zizmor", "--offline", "--no-progress", "--strict-collection", "--persona", "pedantic", ".github"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No findings to report" in done.stdout + done.stderr


def test_permissions_concurrency_and_time_are_bounded() -> None:
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {}, name
        assert workflow["concurrency"]["group"], name
    for name, key, job in jobs():
        assert 0 < job["timeout-minutes"] < 360, (name, key)
        assert job["permissions"], (name, key)


def test_actions_are_pinned_by_commit_and_alike() -> None:
    pins: dict[str, set[str]] = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        for action, pin in re.findall(r"uses: ([^@\s]+)@(.+)", path.read_text()):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{path.name}: {action}@{pin}"
            pins.setdefault(action, set()).add(pin)
    assert all(len(found) == 1 for found in pins.values()), pins


def test_every_line_is_run_here_or_has_a_reason() -> None:
    lines = {(name, key, step["run"]) for name, key, job in jobs() for step in job["steps"] if "run" in step}
    for name, key, line in lines:
        assert line in NOT_HERE or (name, key) in JOBS_RUN_HERE, f"no test runs {line!r} of {name}.yml"
    assert set(NOT_HERE) <= {line for _, _, line in lines}
    here = Path(__file__).read_text()
    assert all(f'run_job("{name}", "{key}")' in here for name, key in JOBS_RUN_HERE)
    scripts = {path.name for path in (ROOT / ".github/scripts").glob("*.sh")}
    makefile = (ROOT / "Makefile").read_text()
    called = set(re.findall(r"\.github/scripts/(\w+\.sh)", "\n".join([makefile, *(line for _, _, line in lines)])))
    assert called == scripts


def test_a_pull_request_gets_a_report(runner: Runner) -> None:
    project = runner.project
    config = project.path / "conf/config.yaml"
    config.write_text(config.read_text().replace("licence: mit\n", "licence: apache-2.0\n"))
    project.run("tinycats", "params")
    project.commit("Change the licence, without a run")
    output = no_failure(runner.run_job("report", "report"))
    assert project.ran(output) == ["publish"]
    report = (project.path / "report.md").read_text()
    assert "**dvc.lock is behind the code**" in report
    base, head = project.run("git", "rev-parse", "origin/main", "HEAD").stdout.split()
    # What got worse, then pictures side by side, then the rest, folded away
    worse = r"^\| worse \| publish: bytes \| \S+ \| \S+ \|  \|$"
    side_by_side = rf'^\| <img src="\S+/{base}/(\S+)\?raw=true" .*> \| <img src="\S+/{head}/\1\?raw=true" .*> \|$'
    places = [re.search(pattern, report, flags=re.MULTILINE) for pattern in (
        r"^## Results against", r"No interval: \d+ worse, \d+ better", worse, side_by_side, "<summary>Parameters</summary>",
        r"\| params.yaml \| publish.licence \| mit \| apache-2.0 ", "<summary>All metrics</summary>",
        r"\| metrics/publish.json \| bytes ",
    )]  # fmt: skip
    assert all(places), places
    assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)
    pictures = re.findall(side_by_side, report, flags=re.MULTILINE)
    assert pictures == [f"metrics/evaluate/{name}.png" for name in ("student", "samples", "few_steps", "confusion")]
    assert report.count("<details>") == report.count("</details>") == 3
    assert len(report) < 65536  # or GitHub would not take it
    assert "(https://github.example/team/cats/actions/runs/11#artifacts)" in report
    assert (project.path / "dvc_plots/index.html").exists()
    assert runner.log.read_text() == "pr comment 7 --edit-last --create-if-none --body-file report.md\n"


def test_a_training_opens_a_pull_request(runner: Runner) -> None:
    project = runner.project
    runner.values |= {"inputs.lr": "0.001", "inputs.data": "tiny"}
    output = no_failure(runner.run_job("train", "train"))
    assert project.ran(output) == ["train_dit", "distill", "evaluate", "export_onnx", "quantize", "publish"]
    branch = project.run("git", "branch", "--show-current").stdout.strip()
    assert branch.startswith("train/")
    called = runner.log.read_text().splitlines()
    assert f"pr create --base main --head {branch} --title Train: data tiny," in called[2]
    assert [call.split(" --")[0] for call in called] == [
        "auth setup-git", f"pr view {branch}", "pr create", "workflow run ci.yml",
    ]  # fmt: skip
    result = Project(runner.directory / "result")
    project.run("git", "clone", "--quiet", "--branch", branch, str(runner.directory / "origin"), str(result.path))
    assert "is what conf/ composes" in result.run("tinycats", "params", "--check").stdout
    assert yaml.safe_load(result.read("params.yaml"))["train"]["lr"] == 0.001
    result.dvc("pull")
    assert result.ran(result.dvc("repro")) == []


def test_a_training_that_takes_longer_is_waited_for_by_the_next_run(runner: Runner) -> None:
    project = runner.project
    environment = {"COMPUTE": "local", "DATA": "", "STEPS": "", "BATCH_SIZE": "", "LR": "0.001", "REF": "main"}
    done = runner.run(".github/scripts/set_params.sh && .github/scripts/train.sh", WAIT="0.5s", **environment)
    assert done.returncode == 0, done.stderr
    assert "another run of this workflow continues to wait" in done.stdout
    assert runner.output.read_text() == "finished=false\n"
    assert runner.log.read_text() == (
        "workflow run train.yml --ref main -f data= -f steps= -f batch_size= -f lr=0.001 -f compute=local\n"
    )
    assert project.run("git", "branch", "--show-current").stdout == "main\n"


def test_wrong_inputs_end_before_the_training(runner: Runner) -> None:
    for name, value, line in (
        ("DATA", "nowhere", "error: data: conf/data/ has no nowhere.yaml"),
        ("DATA", "../x", "error: data: conf/data/ has no ../x.yaml"),
        ("LR", "1; touch broken", "error: lr: 1; touch broken is not a number"),
        ("LR", "-1", "error: lr: -1 is not a number"),
        ("BATCH_SIZE", "0", "train.batch_size"),
    ):
        done = runner.run(".github/scripts/set_params.sh", **{name: value})
        assert done.returncode == 1
        assert line in done.stderr
        runner.project.run("git", "checkout", "--quiet", "conf")
    assert not (runner.project.path / "broken").exists()
    config = runner.project.path / "conf/config.yaml"
    config.write_text(config.read_text().replace("train: tiny", "train: smoke"))
    done = runner.run(".github/scripts/set_params.sh", BATCH_SIZE="4")  # smoke has it from another file
    assert done.returncode == 1
    assert "train.batch_size is 16, conf/ has 4" in done.stderr


def test_the_page_gets_its_models(runner: Runner) -> None:
    models = runner.project.path / "frontend/public/models"
    before = sorted(path.relative_to(models) for path in models.rglob("*"))
    runner.project.dvc("push", "frontend/public/models")
    for path in (models, Path(f"{runner.project.path}-cache")):
        shutil.rmtree(path)
    released = runner.project.path / "pretrained"
    shutil.rmtree(released, ignore_errors=True)
    released.mkdir()
    (released / "manifest.json").write_text("{}")
    no_failure(runner.run_job("deploy", "build"))
    assert sorted(path.relative_to(models) for path in models.rglob("*")) == before
    assert (models.parent / "pretrained/manifest.json").read_text() == "{}"


def test_a_release_is_verified_or_taken_back(runner: Runner, hub: HubServer) -> None:
    runner.environment |= {
        name: value for name, value in hub_variables(hub, runner.directory / "hf").items() if name != "HF_TOKEN"
    }
    runner.values |= {"inputs.repo_id || vars.HUB_REPO_ID": "ann/cats", "secrets.HF_TOKEN": WRITE}
    output = no_failure(runner.run_job("release", "release"))
    assert "and whole" in output
    assert "there is no version to register" in output
    assert registered(runner) == []
    repository = hub.repositories["ann/cats"]
    first = repository.contents()
    assert (runner.project.path / "downloaded/classifier/model.safetensors").exists()

    config = runner.project.path / "conf/config.yaml"
    config.write_text(config.read_text().replace("licence: mit\n", "licence: apache-2.0\n"))
    hub.faults.append(Fault("HEAD", "/resolve/.*/manifest.json", "status", times=100, status=403))
    runner.values["github.ref_type == 'tag' && github.ref_name || ''"] = "v1.2.0"
    failed = runner.run_job("release", "release")[-1]
    assert failed.returncode == 1
    assert "is not what was published; it is back at" in failed.stderr
    assert len(repository.tags) == 3  # it had been published, as a version too
    assert repository.contents() == first
    assert registered(runner) == []


def registered(runner: Runner) -> list[str]:
    """The tags at the origin."""
    return runner.project.run("git", "ls-remote", "--tags", "--refs", "origin").stdout.split()[1::2]


def test_a_release_of_a_tag_has_a_version_and_a_rollback_moves_its_stage(runner: Runner, hub: HubServer) -> None:
    variables = hub_variables(hub, runner.directory / "hf")
    runner.environment |= {name: value for name, value in variables.items() if name != "HF_TOKEN"}
    runner.values |= {"inputs.repo_id || vars.HUB_REPO_ID": "ann/cats", "secrets.HF_TOKEN": WRITE}
    project, repository = runner.project, None
    config = project.path / "conf/config.yaml"
    for number, version in enumerate(("1.0.0", "1.1.0"), start=1):
        config.write_text(config.read_text().replace("name: tinycats", f"name: tinycats {number}"))
        project.commit(f"Before {version}")
        runner.values["github.ref_type == 'tag' && github.ref_name || ''"] = f"v{version}"
        output = no_failure(runner.run_job("release", "release"))
        repository = hub.repositories["ann/cats"]
        assert repository.tags[f"v{version}"] == repository.branches["main"]
        assert json.loads(repository.contents()["manifest.json"])["version"] == version
        for name in ("classifier", "generator", "student"):
            assert f"{name}@v{version}" in output
            assert {f"refs/tags/{name}@v{version}", f"refs/tags/{name}#prod#{number}"} <= set(registered(runner))
        # The commit is what it was: the version was a setting of this run
        project.run("git", "checkout", "--quiet", "HEAD", "--", "params.yaml", "dvc.lock", "metrics")
    assert repository
    assert runner.log.read_text() == "auth setup-git\n" * 2
    assert len(registered(runner)) == 12

    rolled = project.run(
        "tinycats", "rollback", "--repo", "ann/cats", "--to", "v1.0.0",
        **{**runner.environment, "HF_TOKEN": WRITE},
    ).stdout  # fmt: skip
    assert repository.contents() == repository.contents("v1.0.0")
    assert "prod is 1.0.0 again: classifier#prod#3, generator#prod#3, student#prod#3" in rolled
    assert "git push origin 'classifier#prod#3' 'generator#prod#3' 'student#prod#3'" in rolled
    assert len(registered(runner)) == 12  # not pushed
    in_use = project.run("gto", "show", "classifier#prod", "--json").stdout
    assert [item["version"] for item in json.loads(in_use)] == ["v1.0.0"]
