"""Parameters, manifests, states, model directories and adapters: a result or one line, and nothing allocated for a claim."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from tests.conftest import ROOT
from tests.fuzz.damage import altered, damaged, one_line_at_most
from tinycats.adapters.adapter import ADAPTER_CONFIG_NAME, add_class, inject_adapter, read_adapter, save_adapter
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.releasing.pretrained import released_model
from tinycats.runtime.files import file_hash
from tinycats.runtime.params import Params, load_params
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.status import find_runs, status_table
from tinycats.verification.model_directory import verify_model

PARAMS = (ROOT / "params.yaml").read_bytes()
# JSON with numbers that are none and with anything for a value
JSON = st.sampled_from([b"", b"[" * 20_000, b'{"a": NaN}', b"\xff\xfe", b"null", b"1e999"])


def as_bytes(content: Any) -> bytes:
    return json.dumps(content).encode()


@given(damaged(PARAMS) | altered(yaml.safe_load(PARAMS)).map(as_bytes) | JSON)
def test_params(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "params.yaml"
        path.write_bytes(content)
        with one_line_at_most():
            assert isinstance(load_params(path), Params)


MANIFEST = {"classifier": {"files": {"int8": "a.onnx"}}, "files": [{"path": "a.onnx", "sha256": "0" * 64}]}


@given(damaged(as_bytes(MANIFEST)) | altered(MANIFEST).map(as_bytes) | JSON)
def test_manifest(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "manifest.json").write_bytes(content)
        with one_line_at_most():
            released_model(Path(directory))
            pytest.fail("there is no such file, at best")


STATUS = {
    "stage": "train_dit", "state": "running", "step": 1, "steps": 10, "loss": 0.5, "images_per_second": 10.0, "eta_s": 5.0,
    "memory_mb": 100.0, "precision": "fp32", "saved_step": 1, "pid": 1, "process_started_at": 1.5e9, "written_at": 1.6e9,
}  # fmt: skip


@given(damaged(as_bytes(STATUS)) | altered(STATUS).map(as_bytes) | JSON)
def test_states(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / ".tinycats/runs/train_dit-1"
        path.mkdir(parents=True)
        (path / "status.json").write_bytes(content)
        console = Console(file=io.StringIO(), width=200)
        console.print(status_table(console, find_runs(Path(directory)), every=True))


@given(st.data())
def test_checkpoints(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        run = RunDirectory(Path(directory))
        run.save(1, {"model": torch.zeros(3)})
        saved = next(Path(directory).glob("checkpoint-*"))
        whole = saved.read_bytes()
        saved.write_bytes(data.draw(damaged(b"x" * 1000)) if data.draw(st.booleans()) else whole)
        with one_line_at_most():
            assert (run.load(10) is not None) == (saved.read_bytes() == whole)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator and its adapter, as small as they can be."""
    root = tmp_path_factory.mktemp("models")
    config = TinyDiTConfig(classes=["a", "b"], image_size=16, patch_size=8, width=16, depth=1, heads=1)
    base = TinyDiT(config)
    base.save_pretrained(root / "generator")
    save_adapter(inject_adapter(add_class(base, "mimi", "a"), 2), root / "generator", "a", root / "adapter")
    assert verify_model(root / "generator")
    assert read_adapter(root / "adapter")
    return root


def damage(data: st.DataObject, models: Path, name: str, config: str, directory: Path) -> bool:
    """Copy a model directory, damaged in its config or its weights. Whether anything changed."""
    whole = {path.name: path.read_bytes() for path in (models / name).iterdir()}
    chosen = data.draw(st.sampled_from(sorted(file for file in whole if file.endswith((".json", ".safetensors")))))
    broken = damaged(whole[chosen])
    if chosen == config:
        broken |= altered(json.loads(whole[chosen])).map(as_bytes) | JSON
    for file, content in {**whole, chosen: data.draw(broken)}.items():
        (directory / file).write_bytes(content)
    return any(file_hash(directory / file) != file_hash(models / name / file) for file in whole)


@given(data=st.data())
def test_model_directories(models: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        damage(data, models, "generator", "config.json", Path(directory))
        for read in (verify_model, TinyDiT.from_pretrained):
            with one_line_at_most():
                assert read(Path(directory))


@given(data=st.data())
def test_adapters(models: Path, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        damage(data, models, "adapter", ADAPTER_CONFIG_NAME, Path(directory))
        with one_line_at_most():
            assert read_adapter(Path(directory)).rank >= 1
