"""The Hydra groups as DVC experiments, and the smoke run, in the tiny project."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.pipeline.conftest import Project
from tests.pipeline.test_readme import readme, shell
from tests.pipeline.test_repro import ALL
from tinycats.data.raw import read_raw


def config(project: Project) -> dict:
    return json.loads(project.read("models/classifier/config.json"))


def test_another_network_and_batch_size(project: Project) -> None:
    output = project.dvc(
        "exp",
        "run",
        "-S",
        "classifier=resnet50",
        "-S",
        "classifier.batch_size=32",
        "-S",
        "train=smoke",
        "train_classifier",
    )
    assert project.ran(output) == ["train_classifier"]
    params = yaml.safe_load(project.read("params.yaml"))["classifier"]
    assert (params["arch"], params["batch_size"]) == ("resnet50", 32)
    assert config(project)["arch"] == "resnet50"


def test_the_jersey_numbers_with_splits_of_their_own(project: Project) -> None:
    with tarfile.open(project.path / "numbers.tar", "w") as numbers:
        for number, image in enumerate(read_raw(project.path / "data/raw")):
            split = ("train", "train", "valid", "test")[number % 4]
            source = project.path / "picture.jpg"
            source.write_bytes(image.content)
            numbers.add(source, f"jersey_numbers/{split}/{len(image.class_name)}/{Path(image.name).name}")
    output = project.dvc(
        "exp",
        "run",
        "-S",
        "data=jersey_numbers",
        "-S",
        "data.path=numbers.tar",
        "-S",
        "train=smoke",
        "train_classifier",
    )
    assert project.ran(output) == ["fetch", "preprocess", "train_classifier"]
    classes = config(project)["classes"]
    assert "6" in classes  # Bengal, Bombay, Birman
    assert not config(project)["flip_at_test"]
    counts = json.loads(project.read("metrics/preprocess.json"))["splits"]
    assert counts["val"] > 0
    assert counts["test"] > 0


@pytest.mark.parametrize(("group", "steps", "batch"), [("high_accuracy", 400_000, 512), ("standard", 200_000, 256)])
def test_long_trainings_compose(project: Project, group: str, steps: int, batch: int) -> None:
    more = ["distill=standard", "dit=small", "data=oxford_pets", "compute=modal"]
    project.run("tinycats", "params", f"train={group}", *more)
    params = yaml.safe_load(project.read("params.yaml"))
    assert (params["distill"]["steps"], params["distill"]["compile"]) == (20_000, True)
    assert (params["train"]["steps"], params["train"]["batch_size"]) == (steps, batch)
    assert (params["dit"]["image_size"], params["data"]["source"]) == (128, "oxford_pets")


def test_a_smoke_run_takes_ten_steps_of_each_and_is_undone_at_once(project: Project) -> None:
    output = shell(project, readme("dvc exp run -S train=smoke"))
    assert project.ran(output) == ALL[ALL.index("train_classifier") :]
    for stage in ("train_classifier", "train_dit", "distill"):
        assert f"{stage}: step 10/10" in output
    for model in ("generator", "distill"):
        assert json.loads(project.read(f"metrics/{model}/metrics.json"))["steps"] == 10
    project.run("tinycats", "params")
    assert project.ran(project.dvc("repro")) == []  # all of it is in the cache
    assert project.run("git", "status", "--porcelain").stdout == ""
