"""That the tests take nothing from the machine and its user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import dvc.dirs
import huggingface_hub.constants
import matplotlib
import platformdirs
import pytest
import torch

from tests.conftest import HOMES, ROOT

USERS = {
    "AWS_PROFILE": "work",
    "COLUMNS": "20",
    "DVC_NO_ANALYTICS": "1",
    "FORCE_COLOR": "1",
    "GIT_AUTHOR_NAME": "Somebody",
    "GIT_CONFIG_GLOBAL": "/home/somebody/.gitconfig",
    "GIT_DIR": "/home/somebody/.git",
    "HF_TOKEN": "hf_somebody",
    "HOME": "/home/somebody",
    "LANG": "de_DE.UTF-8",
    "LC_ALL": "de_DE.UTF-8",
    "MODAL_TOKEN_ID": "ak-somebody",
    "MPLCONFIGDIR": "/home/somebody/matplotlib",
    "SHELL": "/usr/bin/fish",
    "TERM": "dumb",
    "TORCH_HOME": "/home/somebody/torch",
    "TZ": "Asia/Tokyo",
    "WANDB_API_KEY": "somebody",
    "XDG_CACHE_HOME": "/home/somebody/.cache",
    "http_proxy": "http://127.0.0.1:9",
}


def git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture(scope="module")
def shared() -> tuple[Path, str]:
    """The home and git's author as a fixture of several tests has them."""
    return Path.home(), git("var", "GIT_AUTHOR_IDENT")


@pytest.mark.parametrize("number", [1, 2])
def test_each_test_has_a_home_of_its_own(number: int) -> None:
    assert Path.home().is_relative_to(HOMES)
    assert [path.name for path in Path.home().iterdir()] == [".gitconfig"]
    (Path.home() / f"left by {number}").touch()


def test_so_have_fixtures_that_tests_share(home: Path, shared: tuple[Path, str]) -> None:
    path, author = shared
    assert path.is_relative_to(HOMES)
    assert path != home
    assert author.startswith("Test <test@example.com> ")


def test_git_knows_this_author_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert git("config", "--global", "user.name") == "Test"
    assert git("config", "--list", "--name-only").split() == ["user.name", "user.email", "init.defaultbranch"]
    git("init", "--quiet")
    git("commit", "--quiet", "--allow-empty", "--message", "Start")
    assert git("log", "--format=%an %ce %D") == "Test test@example.com HEAD -> main"


def test_caches_and_settings_of_libraries_are_there_too(home: Path) -> None:
    for path in (
        dvc.dirs.global_config_dir(), dvc.dirs.site_cache_dir(), dvc.dirs.system_config_dir(),
        platformdirs.user_cache_dir(), torch.hub.get_dir(),
    ):  # fmt: skip
        assert Path(path).is_relative_to(home), path
    for path in (matplotlib.get_configdir(), matplotlib.get_cachedir(), huggingface_hub.constants.HF_HOME):
        assert Path(path).is_relative_to(HOMES), path  # what is read once in a process


def test_nothing_of_a_users_environment_is_left() -> None:
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "3"}
    code = "import json, os, tests.conftest; print(json.dumps([dict(os.environ), os.umask(0)]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=USERS | kept,
        umask=0o077,
        check=True,
        capture_output=True,
        text=True,
    )
    environment, umask = json.loads(done.stdout)
    assert umask == 0o022
    assert {name: environment.pop(name) for name in kept} == kept
    assert set(environment) == {
        "HOME", "LANG", "TZ", "MPLCONFIGDIR", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM",
        "DVC_SITE_CACHE_DIR", "DVC_SYSTEM_CONFIG_DIR",
    }  # fmt: skip
    assert (environment["LANG"], environment["TZ"]) == ("C.UTF-8", "UTC")
    assert not [name for name, value in environment.items() if "somebody" in value]
    assert not Path(environment["HOME"]).exists()  # removed as the process ended
