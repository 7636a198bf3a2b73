"""The README's way to a Space: uploaded to a server that speaks the Hub's protocol, then served with the headers that its
README.md asks for, to the page's own browser tests.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.pipeline.conftest import Project
from tests.pipeline.test_readme import readme
from tests.remote.conftest import WRITE, hub_variables
from tests.remote.hub_server import HubServer, User

PACKAGES = ROOT / "frontend/node_modules"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

pytestmark = pytest.mark.skipif(
    not (PACKAGES / "vite").is_dir() or not any(map(shutil.which, CHROMIUM)),
    reason="needs Node's packages (make web) and Chromium (make browser)",
)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    server = HubServer({WRITE: User("user", "write")})
    yield server
    server.stop()


def write(contents: dict[str, bytes], folder: Path) -> None:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def test_a_space_is_published_and_passes_the_browser_tests(project: Project, hub: HubServer, tmp_path: Path) -> None:
    (project.path / "frontend/node_modules").symlink_to(PACKAGES)
    env = hub_variables(hub, tmp_path / "home")
    command = readme("dvc exp run -S publish.hub.space_id=user/page")
    output = project.run("bash", "-c", f"{command} -S publish.hub.repo_id=user/name -S publish.version=1.2.0", **env)
    assert project.ran(output.stdout) == ["publish"]
    space = hub.repositories["spaces/user/page"]
    page = space.contents()
    recorded = json.loads(project.read("metrics/publish.json"))
    assert recorded["space"] == {
        "space_id": "user/page", "revision": recorded["space"]["revision"], "commit": space.branches["main"]
    }  # fmt: skip
    assert space.tags == {recorded["space"]["revision"]: space.branches["main"], "v1.2.0": space.branches["main"]}
    assert len(space.history()) == 2  # that of the creation, and one for everything
    own = {name.removeprefix("models/"): content for name, content in page.items() if name.startswith("models/")}
    web = project.path / "frontend/public/models"
    assert own == {path.relative_to(web).as_posix(): path.read_bytes() for path in web.rglob("*") if path.is_file()}
    assert {"index.html", "sw.js", "icon.svg", "versions.json", "examples/Bengal.jpg"} <= set(page)
    assert not [name for name in page if name.startswith("pretrained/")]
    header = yaml.safe_load(page["README.md"].decode().split("---\n")[1])
    assert (header["sdk"], header["app_file"], header["models"]) == ("static", "index.html", ["user/name"])
    manifest = json.loads(own["manifest.json"])
    assert (manifest["version"], manifest["hub"]) == (
        "1.2.0",
        {"repo_id": "user/name", "revision": recorded["hub"]["revision"]},
    )

    hub.requests.clear()
    project.run("dvc", "repro", "--force", "--single-item", "publish", **env)
    assert hub.asked("POST", "preupload|commit|batch|create") == []  # the same page, byte for byte
    assert space.contents() == page

    # In the browser: the models come from the repository at its tag; where nobody answers there, from the Space
    write(page, tmp_path / "page")
    variables = {
        "PAGE": str(tmp_path / "page"), "PAGE_HEADERS": json.dumps(header["custom_headers"]),
        "TINY_PROJECT": str(project.path), "HUB": f"{hub.url} {hub.storage_url}",
    }  # fmt: skip
    hub.requests.clear()
    passes(variables, "space", "--testNamePattern", "is isolated")
    passes(variables, "classify", "generate")
    folder = f"/user/name/resolve/{recorded['hub']['revision']}/"
    assert all(path.startswith(folder) for path in hub.asked("GET", "/resolve/"))
    assert hub.asked("GET", f"{folder}onnx_int8/student.onnx")
    hub.stop()
    passes(variables, "space", "--testNamePattern", "its own copy")


def passes(variables: dict[str, str], *arguments: str) -> None:
    """These browser tests of the page pass, and are some."""
    command = ["node_modules/.bin/vitest", "run", "--config", "vitest.e2e.config.ts", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", **variables}
    done = subprocess.run(command, cwd=ROOT / "frontend", env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Tests +[1-9]\d* passed", done.stdout), done.stdout
