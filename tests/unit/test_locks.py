"""requirements.lock is what a run needs, requirements-dev.lock what development needs too; torch.lock has torch's version."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Collection, Iterable
from importlib import metadata

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.conftest import ROOT

RUN, DEV, TORCH = "requirements.lock", "requirements-dev.lock", "torch.lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
NOT_LOCKED = PYPROJECT["tool"]["uv"]["exclude-dependencies"]


def locked(name: str) -> dict[str, str]:
    """The versions that a lock file has for this platform, by package."""
    versions = {}
    for line in (ROOT / name).read_text().splitlines():
        if line.startswith(("#", "    --hash=")):
            continue
        requirement = Requirement(line.removesuffix(" \\"))
        (pin,) = requirement.specifier
        assert pin.operator == "==", line
        if requirement.marker is None or requirement.marker.evaluate():
            versions[canonicalize_name(requirement.name)] = pin.version
    return versions


def declared(*extras: str) -> list[Requirement]:
    """What pyproject.toml names."""
    found = [Requirement(line) for line in PROJECT["dependencies"]]
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            found += declared(*requirement.extras) if requirement.name == PROJECT["name"] else [requirement]
    return found


def needed(requirements: Iterable[Requirement], without: Collection[str] = ()) -> set[str]:
    """The packages of these requirements, and all that they need as they are installed here."""
    found: set[tuple[str, str]] = set()
    waiting = list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name in without:
            continue
        for extra in {"", *requirement.extras}:
            if (name, extra) in found:
                continue
            found.add((name, extra))
            try:
                needs = map(Requirement, metadata.requires(name) or [])
            except metadata.PackageNotFoundError:
                continue
            waiting += [need for need in needs if need.marker is None or need.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def extras_of(name: str) -> list[str]:
    """The extras that `make lock` was told to add."""
    return ["dev"] if name == DEV else re.findall(r"EXTRAS=(\w+)", (ROOT / name).read_text())


@pytest.mark.parametrize("name", [RUN, DEV])
def test_it_holds_what_is_needed_and_nothing_else(name: str) -> None:
    """Whichever torch is installed: of its build for CUDA only torch itself is locked."""
    assert set(locked(name)) | set(locked(TORCH)) == needed(declared(*extras_of(name)), NOT_LOCKED)
    assert not set(locked(name)) & set(locked(TORCH))


@pytest.mark.parametrize("name", [RUN, DEV])
def test_every_package_has_its_hashes(name: str) -> None:
    for block in re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())[2:]:
        assert re.fullmatch(r"[^\n]+==[^\n]+( \\\n    --hash=sha256:[0-9a-f]{64})+", block), block[:80]


def test_the_build_of_torch_is_open() -> None:
    """A hash would choose one of many builds: for CPUs, or one version of CUDA."""
    assert list(locked(TORCH)) == ["torch", "torchvision"]
    assert "--hash" not in (ROOT / TORCH).read_text()


def test_a_run_needs_no_tools_of_development() -> None:
    tools = {"pytest", "moto", "ruff", "mypy", "uv"}
    assert tools <= set(locked(DEV))
    assert not tools & set(locked(RUN))


def test_what_is_tested_is_what_runs() -> None:
    assert locked(RUN).items() <= locked(DEV).items()


@pytest.mark.parametrize("name", [RUN, DEV])
def test_versions_are_in_the_ranges_of_the_project(name: str) -> None:
    versions = locked(name) | locked(TORCH)
    for requirement in declared(*extras_of(name)):
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


@pytest.mark.parametrize("name", [RUN, DEV, TORCH])
def test_it_says_how_it_is_made_and_not_where_packages_came_from(name: str) -> None:
    text = (ROOT / name).read_text()
    comments = [line for line in text.splitlines() if "#" in line]
    assert comments == text.splitlines()[:2]
    assert comments[1].split()[1:3] == ["make", "lock"]
    assert "://" not in text


def test_npm_checks_every_package_of_the_page() -> None:
    """Each has a SHA-512, and none says where it came from."""
    packages = json.loads((ROOT / "frontend/package-lock.json").read_text())["packages"]
    assert len(packages) > 300
    for name, package in packages.items():
        assert name == "" or re.fullmatch(r"sha512-[\w+/]{86}==", package["integrity"]), name
        assert "resolved" not in package, name
    assert "omit-lockfile-registry-resolved=true" in (ROOT / "frontend/.npmrc").read_text().splitlines()


def test_what_needs_only_an_extra_is_told_apart(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch's build for CUDA has it: `cuda-toolkit[cublas]` needs nvidia-cublas, and not what its other extras need."""
    for name, needs in {
        "torch-for-cuda": ["triton==3.7.1; platform_system != 'Windows'", "cuda-toolkit[cublas]==13.0.3"],
        "cuda-toolkit": ["nvidia-cublas==13.1.*; extra == 'cublas'", "nvidia-cufft==12.0.*; extra == 'cufft'"],
        "triton": [],
        "nvidia-cublas": ["nvidia-cuda-nvrtc", "colorama; sys_platform == 'none'"],
    }.items():
        directory = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        directory.mkdir()
        lines = [
            f"Name: {name}",
            "Version: 1.0",
            "Provides-Extra: cublas",
            *(f"Requires-Dist: {need}" for need in needs),
        ]
        (directory / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))
    monkeypatch.syspath_prepend(tmp_path)
    torch = [Requirement("torch-for-cuda")]
    toolkit = {"torch-for-cuda", "cuda-toolkit", "nvidia-cublas", "nvidia-cuda-nvrtc"}
    assert needed(torch) == {*toolkit, "triton"}
    assert needed(torch, ["triton", "cuda-toolkit"]) == {"torch-for-cuda"}
