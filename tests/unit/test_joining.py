"""What somebody needs who joins: files in the forms that their readers expect, and commands that are there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.conftest import ROOT
from tests.unit.test_locks import RUN, TORCH, locked

BIN = Path(sys.executable).parent
MAKEFILE = (ROOT / "Makefile").read_text()
(PHONY,) = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, flags=re.MULTILINE)
HOOKS = [
    hook for repo in yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"] for hook in repo["hooks"]
]


def make(*arguments: str) -> str:
    return subprocess.run(
        ["make", "--no-print-directory", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_make_alone_lists_every_target() -> None:
    assert make() == make("help")
    assert sorted(line.split()[1] for line in make().splitlines()) == sorted(PHONY.split())


@pytest.mark.parametrize(
    ("variables", "program", "torch_from"),
    [
        ([], "pip install", ""),
        (["TORCH_INDEX=https://x"], "pip install", "--index-url https://x"),
        (["UV=1"], "uv pip install", "--torch-backend auto"),
        (["UV=1", "TORCH_INDEX=https://x"], "uv pip install", "--index-url https://x"),
    ],
)
def test_another_index_is_for_torch_alone(variables: list[str], program: str, torch_from: str) -> None:
    lines = make("--dry-run", "--always-make", ".venv/installed", *variables).splitlines()
    (first,) = [line for line in lines if "requirements-dev.lock" in line]
    (second,) = [line for line in lines if "torch.lock" in line]
    assert lines.index(first) < lines.index(second)
    for line in (first, second):
        assert line.startswith(program) or f" -m {program}" in line
    assert first.endswith(" --no-deps --require-hashes --requirement requirements-dev.lock")
    assert "https://x" not in first
    assert second.split("--quiet")[1].split() == [
        *(["--python", ".venv/bin/python"] if "UV=1" in variables else ["--no-compile"]),
        *torch_from.split(),
        *["--requirement", "torch.lock"],
    ]


def test_the_devcontainers_commands_are_those_of_the_makefile() -> None:
    content = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    commands = content["postCreateCommand"].split(" && ")
    assert {"make setup", "make web", "make browser"} == set(commands)
    assert {command.removeprefix("make ") for command in commands} <= set(PHONY.split())
    assert (ROOT / ".devcontainer" / content["build"]["dockerfile"]).exists()
    port = re.search(r"^PORT \?= (\d+)$", MAKEFILE, flags=re.MULTILINE)
    assert port
    assert content["forwardPorts"] == [int(port[1])]


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.dependabot", ".github/dependabot.yml"),
        ("vendor.github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("vendor.citation-file-format", "CITATION.cff"),
    ],
)
def test_files_are_in_their_readers_form(schema: str, pattern: str) -> None:
    paths = sorted(ROOT.glob(pattern))
    assert paths
    subprocess.run([BIN / "check-jsonschema", "--builtin-schema", schema, *paths], check=True)


def test_the_version_is_the_same_everywhere() -> None:
    (version,) = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == version
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{version}] - " in changes or f"the first will be {version}" in changes


def test_pythons_that_are_tested_are_those_that_the_project_names() -> None:
    matrix = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]["test"]["strategy"]["matrix"][
        "python"
    ]
    assert matrix == ["3.11", "3.12", "3.13", "3.14"]
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text()


def test_hooks_run_programs_of_the_project_and_download_nothing() -> None:
    subprocess.run([BIN / "pre-commit", "validate-config", ROOT / ".pre-commit-config.yaml"], check=True)
    for hook in HOOKS:
        program = Path(hook["entry"].split()[0])
        assert program.parent == Path(".venv/bin")
        assert (BIN / program.name).exists(), hook["id"]
        assert hook["language"] == "system"
    assert {"ruff", "ruff-format", "mypy", "params", "large-files", "dvc-pre-commit"} <= {hook["id"] for hook in HOOKS}


@pytest.mark.parametrize("hook", ["large-files", "merge-conflicts", "params"])
def test_hooks_that_nothing_else_runs_find_nothing(hook: str) -> None:
    if not (ROOT / ".venv/bin").exists():
        pytest.skip("hooks run the programs of .venv, which is not here")
    done = subprocess.run(
        [BIN / "pre-commit", "run", "--all-files", hook], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout


def test_a_file_that_is_too_large_is_noticed(tmp_path: Path) -> None:
    (hook,) = [hook for hook in HOOKS if hook["id"] == "large-files"]
    program, *arguments = hook["entry"].split()
    (tmp_path / "a.bin").write_bytes(bytes(6_200_000))
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    done = subprocess.run(
        [BIN / Path(program).name, *arguments, "a.bin"], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 1


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not here, which lists the packages of the page")
def test_what_a_release_is_made_of(tmp_path: Path) -> None:
    """All that is locked, each with a hash, in the form that readers of CycloneDX expect."""
    subprocess.run([ROOT / ".github/scripts/sbom.sh", tmp_path], check=True, capture_output=True)
    texts = {name: (tmp_path / f"{name}.cdx.json").read_text() for name in ("python", "page")}
    found = {name: json.loads(text) for name, text in texts.items()}
    for name, content in found.items():
        version = SchemaVersion.from_version(content["specVersion"])
        assert JsonStrictValidator(version).validate_str(texts[name]) is None
    python = {component["name"]: component for component in found["python"]["components"]}
    assert set(python) >= {*locked(RUN), *locked(TORCH)}
    for name in locked(RUN):
        assert any(reference.get("hashes") for reference in python[name]["externalReferences"]), name
    assert found["python"]["metadata"]["component"]["name"] == "tinycats"
    page = {component["name"]: component for component in found["page"]["components"]}
    package = json.loads((ROOT / "frontend/package.json").read_text())
    assert set(page) >= set(package["dependencies"])
    assert not set(page) & {"vitest", "eslint"}
    assert all(component["hashes"] for component in page.values())
    assert "tinycats-web" in json.dumps(found["page"]["metadata"]["component"])
