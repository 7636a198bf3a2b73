"""`from_pretrained` with the name of a repository, and what it says where that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.remote.conftest import hub_environment, run_python
from tests.remote.hub_server import Blob, Commit, Fault, HubServer, Repository
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import save_sampler, student_sampler
from tinycats.runtime.errors import UserError

LOAD = """
import json, os, sys
from tinycats.runtime.errors import UserError
from tinycats.generator.network import TinyDiT

said = {}
for name, path, keywords, token in json.loads(sys.argv[1]):
    os.environ["HF_TOKEN"] = token
    try:
        model = TinyDiT.from_pretrained(path, **keywords)
        said[name] = float(sum(parameter.abs().sum() for parameter in model.parameters()))
    except UserError as error:
        said[name] = str(error)
print(json.dumps(said))
"""


def save(directory: Path, seed: int) -> float:
    """Save a model; return the sum of its weights."""
    torch.manual_seed(seed)
    model = TinyDiT(TinyDiTConfig(classes=["a", "b"], image_size=16, patch_size=8, width=32, depth=1, heads=2))
    model.save_pretrained(directory)
    return float(sum(parameter.detach().abs().sum() for parameter in model.parameters()))


def add(repository: Repository, directory: Path) -> str:
    """Commit the model in `directory` as the folder `generator`."""
    files = {
        "generator/config.json": Blob((directory / "config.json").read_bytes()),
        "generator/model.safetensors": repository.large((directory / "model.safetensors").read_bytes()),
    }
    return repository.add(Commit(repository.branches.get("main"), directory.name, files))


def test_models_from_the_hub(hub: HubServer, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first_sum, second_sum = save(first, 1), save(second, 2)
    cats = hub.repositories["ann/cats"] = Repository(private=False)
    cats.tags["v1"] = add(cats, first)
    add(cats, second)
    secret = hub.repositories["ann/secret"] = Repository(private=True)
    add(secret, first)
    hub.faults = [Fault("GET", "/storage/", "cut_the_answer")]
    folder = {"subfolder": "generator"}
    cases = [
        ("bad_token", "ann/cats", folder, "hf_invented"),  # before it is in the cache, which needs no token
        ("current", "ann/cats", folder, ""),
        ("tag", "ann/cats", {**folder, "revision": "v1"}, ""),
        ("commit", "ann/cats", {**folder, "revision": cats.tags["v1"]}, ""),
        ("private", "ann/secret", folder, "hf_read_secret"),
        ("local", str(second), {}, ""),
        ("local_subfolder", str(tmp_path), {"subfolder": "first"}, ""),
        ("no_token", "bob/secret", folder, ""),
        ("no_revision", "ann/cats", {**folder, "revision": "v9"}, ""),
        ("no_subfolder", "ann/cats", {"subfolder": "classifier"}, ""),
        ("no_name", "ann/ca--ts", folder, ""),
    ]
    done = run_python(LOAD, hub_environment(hub, tmp_path / "home", ""), json.dumps(cases))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert hub.faults[0].times == 0  # a download broke off, and was repeated
    assert {name: said.pop(name) for name in ("current", "tag", "commit", "private", "local", "local_subfolder")} == {
        "current": second_sum,
        "tag": first_sum,
        "commit": first_sum,
        "private": first_sum,
        "local": second_sum,
        "local_subfolder": first_sum,
    }
    assert not any("\n" in text for text in said.values())
    assert "bob/secret: is not a local directory, and no repository on the Hugging Face Hub" in said["no_token"]
    assert "Invalid credentials" in said["bad_token"]
    assert said["no_revision"] == "ann/cats: has no revision v9 on the Hugging Face Hub"
    assert "classifier/config.json: not found" in said["no_subfolder"]
    assert "ann/ca--ts: is not a local directory" in said["no_name"]


GENERATE = """
import sys, tinycats

for revision in (None, "v1"):
    student = tinycats.Generator.from_pretrained("ann/cats", student=True, revision=revision)
    print(student, student.generate("a", steps=1).shape)
try:
    tinycats.Generator.from_pretrained("ann/cats")
except tinycats.UserError as error:
    print(error)
"""


def test_a_generator_comes_with_its_sampler(hub: HubServer, tmp_path: Path) -> None:
    """Of the same commit; and what is missing there is named."""
    save(tmp_path / "student", 1)
    cats = hub.repositories["ann/cats"] = Repository(private=False)
    for steps in (2, 4):
        save_sampler(student_sampler(steps), tmp_path / "student")
        names = ("student/config.json", "student/model.safetensors", "student.sampler.json")
        files = {name: Blob((tmp_path / name).read_bytes()) for name in names}
        commit = cats.add(Commit(cats.branches.get("main"), f"{steps} steps", files))
        cats.tags.setdefault("v1", commit)
    done = run_python(GENERATE, hub_environment(hub, tmp_path / "home", ""))
    assert done.returncode == 0, done.stderr
    current, tagged, missing = done.stdout.splitlines()
    assert current == "<Generator ann/cats: generator, 2 classes, 16 px, 4 steps> (1, 16, 16, 3)"
    assert tagged == current.replace("4 steps", "2 steps")
    assert "generator: not found" in missing


@pytest.mark.parametrize("path", [Path("models/none"), "none", "a/b/c"])
def test_what_is_not_the_name_of_a_repository_is_looked_for_here_alone(path: Path | str) -> None:
    with pytest.raises(UserError, match=r"config\.json: not found"):
        TinyDiT.from_pretrained(path)
