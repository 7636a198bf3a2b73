"""An environment of their own for the tests, and small data that they make themselves."""

from __future__ import annotations

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import bare
from tinycats.runtime.memory import keep_freed_memory

HOMES = bare.clear()
keep_freed_memory()

ROOT = Path(__file__).resolve().parent.parent
SIZE = 40


@pytest.fixture(autouse=True)
def home() -> Iterator[Path]:
    """The test's own home. Fixtures that several tests share have that of the process."""
    path = Path(tempfile.mkdtemp(dir=HOMES)) / "home"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in bare.home_variables(path).items():
            patch.setenv(name, value)
        yield path
    shutil.rmtree(path.parent, ignore_errors=True)  # what a test has started may still write


@pytest.fixture(scope="session")
def processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A processed data set of 40 px pictures: three classes that differ in colour, 24 / 6 / 6 pictures each."""
    directory = tmp_path_factory.mktemp("processed")
    rng = np.random.default_rng(0)
    colours = np.array([[220, 60, 40], [40, 200, 60], [50, 70, 210]])
    rows = []
    for split, per_class in (("train", 24), ("val", 6), ("test", 6)):
        labels = np.repeat(np.arange(3), per_class)
        noise = rng.normal(0, 20, (len(labels), SIZE, SIZE, 3))
        shade = np.linspace(-30, 30, SIZE)[None, :, None, None]
        images = (colours[labels][:, None, None] + noise + shade).clip(0, 255).astype(np.uint8)
        np.save(directory / f"{split}_{SIZE}.npy", images)
        rows += [(f"{split}{row}.png", label, split, row) for row, label in enumerate(labels)]
    with (directory / "index.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "label", "split", "row"])
        writer.writerows(rows)
    (directory / "classes.json").write_text(
        json.dumps({"classes": ["red", "green", "blue"], "other": None, "fit": "crop"})
    )
    return directory
