"""The notebooks, run at toy size in a copy of the project where nothing was trained: a cell that fails fails the test."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import nbformat
import numpy as np
import pytest
from notebooks.draw_assets import DRAWN, SEED, SIZE_PX
from notebooks.execute import KEPT, MOST_BYTES, PARAMETERS, execute
from PIL import Image

from tests.conftest import ROOT
from tests.pipeline.conftest import copy_project
from tests.pipeline.test_readme import SMALL
from tinycats.publishing.card import NOTEBOOKS
from tinycats.runtime.errors import UserError
from tinycats.sources.synthetic import render

PATHS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SETTINGS = ["train=smoke", *(setting for setting in shlex.split(SMALL) if setting != "-S")]
TOY = {
    "01_quickstart_classification": 'PHOTOS = "assets"',
    "02_conditional_generation": "FRAMES = 1",
    "03_training_fine_tuning": f"PHOTOS_PER_BREED = 12\nSETTINGS = {SETTINGS!r}\nADAPT_STEPS = 3",
}


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_of(notebook: nbformat.NotebookNode) -> str:
    return "\n".join(
        output.text if output.output_type == "stream" else output.get("data", {}).get("text/plain", "")
        for output in outputs(notebook)
    )


def run_copy(name: str, path: Path, monkeypatch: pytest.MonkeyPatch) -> nbformat.NotebookNode:
    """Run a notebook in a copy of the project in `path`, whose code it uses."""
    project = copy_project(path)
    monkeypatch.setenv("PYTHONPATH", str(path / "src"))
    monkeypatch.setenv("TMPDIR", str(path.parent))
    before = project.run("git", "status", "--porcelain").stdout
    done = execute(project.path / f"notebooks/{name}.ipynb", TOY[name])
    assert project.run("git", "status", "--porcelain").stdout == before
    assert not (project.path / "models/classifier").exists()
    return done


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_is_in_git_was_run_to_its_end(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size <= MOST_BYTES
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    assert not [output for output in outputs(notebook) if output.output_type == "error"]
    assert "/tmp/" not in text_of(notebook)
    assert dict(notebook.metadata) == KEPT
    assert sum(PARAMETERS in cell.metadata.get("tags", []) for cell in code) == 1


def test_the_notebooks_are_those_that_the_documents_name() -> None:
    assert [path.stem for path in PATHS] == [*NOTEBOOKS] == [*TOY]
    for document in (ROOT / "README.md", ROOT / "notebooks/README.md"):
        for name in NOTEBOOKS:
            assert f"{name}.ipynb" in document.read_text(), document
    for path in PATHS:  # outside Colab, the first cell has nothing to do
        first = next(cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        assert 'if "google.colab" in sys.modules:' in first.source
        assert first.outputs == []


def test_the_pictures_are_drawn() -> None:
    """Nobody's photo: each is what draw_assets.py draws."""
    found = sorted(path.name for path in (ROOT / "notebooks/assets").iterdir())
    assert found == sorted(f"{name.lower()}.png" for name in DRAWN)
    for name in DRAWN:
        pixels = np.asarray(Image.open(ROOT / f"notebooks/assets/{name.lower()}.png"))
        assert np.array_equal(pixels, render(name, 0, SEED, SIZE_PX)), name


def test_classification(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = text_of(run_copy("01_quickstart_classification", tmp_path / "copy", monkeypatch))
    assert "<Classifier ../pretrained/onnx_int8/classifier.onnx" in said
    for words in ("unlike the training images", "not sure (", "made: Siamese"):
        assert words in said


def test_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_copy("02_conditional_generation", tmp_path / "copy", monkeypatch)
    kinds = [kind for output in outputs(done) for kind in output.get("data", {}) if kind.startswith("image/")]
    assert kinds == ["image/png"] * 3 + ["image/gif"]


def test_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run_copy("03_training_fine_tuning", tmp_path / "copy", monkeypatch)
    said = text_of(done)
    assert "['fetch', 'preprocess', 'train_dit']" in said
    assert "['train_dit']" in said
    for words in (
        "slow",
        "fast",
        "adapters/mimi: Mimi, from 6 photos",
        "publish/adapters/mimi/adapter_model.safetensors",
    ):
        assert words in said
    assert not [*tmp_path.glob("tinycats-*")]


def test_a_cell_that_fails_is_one_line_and_leaves_the_notebook(tmp_path: Path) -> None:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "1 / 0"}
    path = tmp_path / "broken.ipynb"
    path.write_text(json.dumps({"cells": [cell], "metadata": KEPT, "nbformat": 4, "nbformat_minor": 5}))
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"broken\.ipynb: a cell failed: ZeroDivisionError: division by zero"):
        execute(path)
    assert path.read_bytes() == before
