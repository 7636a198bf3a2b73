"""The README's way to the Hugging Face Hub and back, in the tiny project, to a server that speaks the Hub's protocol."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

from tests.pipeline.conftest import Project
from tests.pipeline.test_readme import readme
from tests.remote.conftest import READ, WRITE, hub_variables
from tests.remote.hub_server import HubServer, User

LOAD = """
import json
from pathlib import Path
import numpy, onnxruntime, torch
from huggingface_hub import hf_hub_download
from tinycats.classifier.network import Classifier
from tinycats.generator.network import TinyDiT

local, downloaded = Path("publish"), Path("name")
torch.manual_seed(0)
images = torch.randint(0, 256, (2, 40, 40, 3), dtype=torch.uint8)
noise, t, h, weights = torch.randn(2, 3, 32, 32), torch.rand(2), torch.zeros(2), torch.eye(14)[:2]
with torch.inference_mode():
    for model, subfolder, inputs in (
        (Classifier, "classifier", (images,)), (TinyDiT, "generator", (noise, t, h, weights)),
        (TinyDiT, "student", (noise, t, h + 0.5, weights)),
    ):
        here, there = model.from_pretrained(local / subfolder), model.from_pretrained("user/name", subfolder=subfolder)
        run = lambda network: network.predict(*inputs)[0] if subfolder == "classifier" else network(*inputs)
        assert torch.equal(run(here), run(there))
        for path in (hf_hub_download("user/name", f"onnx/{subfolder}.onnx"), downloaded / f"onnx/{subfolder}.onnx"):
            session = onnxruntime.InferenceSession(path)
            feed = {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)}
            numpy.testing.assert_allclose(session.run(None, feed)[0], run(there).numpy(), atol=1e-3)
print("all models, four times")
"""


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_published_rolled_back_and_loaded(project: Project, tmp_path: Path) -> None:
    server = HubServer({WRITE: User("user", "write"), READ: User("user", "read")})
    env = hub_variables(server, tmp_path / "home")
    command = readme("dvc exp run -S publish.hub.repo_id=user/name")
    try:
        refused = project.run("bash", "-c", command, check=False, **{**env, "HF_TOKEN": READ})
        assert refused.returncode != 0
        errors = [line for line in refused.stderr.splitlines() if line.startswith("error: ")]
        assert errors == [
            "error: user/name: the token of user (role: read) may not write to it; use a token with write access"
        ]
        assert "user/name" not in server.repositories

        output = project.run("bash", "-c", command, **env).stdout
        assert project.ran(output) == ["publish"]
        repository = server.repositories["user/name"]
        first = files(project.path / "publish")
        assert repository.contents() == first
        assert len(repository.history()) == 2
        recorded = json.loads(project.read("metrics/publish.json"))["hub"]
        (tag,) = repository.tags
        assert recorded == {"repo_id": "user/name", "revision": tag, "commit": repository.branches["main"]}
        assert repository.tags[tag] == recorded["commit"]
        head = project.run("git", "log", "-1", "--format=%H", "--", "src").stdout.strip()
        assert re.fullmatch(f"git-{head[:12]}-changes-[0-9a-f]{{8}}", tag)  # params.yaml now names the repository
        for folder in ("publish", "frontend/public/models"):
            manifest = json.loads(project.read(f"{folder}/manifest.json"))
            assert manifest["hub"] == {"repo_id": "user/name", "revision": tag}

        server.requests.clear()
        project.run("dvc", "repro", "--force", "--single-item", "publish", **env)
        assert server.asked("PUT", "") == []
        assert server.asked("POST", "/commit/") == []
        assert json.loads(project.read("metrics/publish.json"))["hub"] == recorded

        project.run("bash", "-c", f"{command} -S publish.name=others", **env)
        assert repository.contents() == files(project.path / "publish") != first
        rolled = project.run("bash", "-c", readme("tinycats rollback --to TAG").replace("TAG", tag), **env)
        assert repository.contents() == first
        assert repository.branches["main"] in rolled.stdout
        assert project.ran(project.run("dvc", "repro", **env).stdout) == []  # it stays rolled back

        download = re.search(r"^hf download .*", first["README.md"].decode(), flags=re.MULTILINE)
        assert download
        project.run("bash", "-c", download[0], **env)
        shutil.rmtree(project.path / "name/.cache")
        assert set(files(project.path / "name")) == {*first, ".gitattributes"}
        loaded = project.run(sys.executable, "-c", LOAD, **env)
        assert "all models, four times" in loaded.stdout
        from_the_hub = re.findall(
            r"^```python\n(.*?)^```", first["README.md"].decode(), flags=re.DOTALL | re.MULTILINE
        )[-1]
        assert "tinycats.Generator" in from_the_hub
        steps = project.run(
            sys.executable, "-c", f"{from_the_hub}\nprint(student.few_step, student.settings.steps)", **env
        )
        assert steps.stdout == f"True {json.loads(first['student.sampler.json'])['steps']}\n"
    finally:
        server.stop()
    written = [
        path for path in project.path.rglob("*") if path.is_file() and project.path / "tests" not in path.parents
    ]
    assert len(written) > 100
    assert not [path for path in written if WRITE.encode() in path.read_bytes()]
