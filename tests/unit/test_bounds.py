"""Model files that claim to be huge, or are: refused with one line, before they are read."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper

from tinycats.adapters.adapter import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, AS_HERE, read_adapter
from tinycats.classifier.network import Classifier
from tinycats.export.onnx_models import CONFIG_KEY, open_onnx, open_session
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.runtime.bounds import MAX_JSON_BYTES, MAX_ONNX_BYTES, MAX_WEIGHTS_BYTES
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.runtime.run_directory import DIGITS, RunDirectory
from tinycats.verification.model_directory import verify_model

CONFIG = TinyDiTConfig(classes=["a", "b"], image_size=32, patch_size=8, width=32, depth=1, heads=2, view="photo")


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    TinyDiT(CONFIG).save_pretrained(tmp_path / "generator")
    return tmp_path / "generator"


def complaint(action, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        action(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


def grow(path: Path, size: int) -> None:
    """To so many bytes, which take no place on the disk."""
    with path.open("ab") as file:
        file.truncate(size)


def safetensors(header: dict[str, object]) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_weights_of_a_hundred_gigabytes_are_not_read(generator: Path) -> None:
    """A file with holes: all the tensor's bytes are there, as zeros, and would go into memory."""
    size = 100 * 2**30
    path = generator / "model.safetensors"
    huge = {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}
    path.write_bytes(safetensors({"huge": huge}))
    grow(path, path.stat().st_size + size)
    for action in (verify_model, TinyDiT.from_pretrained):
        assert f"has {path.stat().st_size} bytes; such a file has at most {MAX_WEIGHTS_BYTES}" in complaint(
            action, generator
        )


def test_a_shape_of_a_hundred_gigabytes_in_a_small_file(generator: Path) -> None:
    path, size = generator / "model.safetensors", 100 * 2**30
    path.write_bytes(
        safetensors({"huge": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}) + bytes(64)
    )
    assert "is not an intact safetensors file" in complaint(verify_model, generator)


def test_a_list_of_millions_of_tensors_is_not_read(generator: Path) -> None:
    """safetensors itself reads one of up to 100 MB."""
    path = generator / "model.safetensors"
    empty = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = "{" + ",".join(f'"{number:07}":{empty}' for number in range(300_000)) + "}"
    path.write_bytes(struct.pack("<Q", len(text)) + text.encode() + bytes(8))
    message = complaint(verify_model, generator)
    assert f"names its tensors in {len(text)} bytes" in message


@pytest.mark.parametrize("action", [verify_model, TinyDiT.from_pretrained])
def test_a_config_of_a_gigabyte_is_not_read(generator: Path, action) -> None:
    path = generator / "config.json"
    grow(path, 2**30)
    message = complaint(action, generator)
    assert message == f"{path}: has {2**30} bytes; such a file has at most {MAX_JSON_BYTES}"


def test_nor_is_an_adapters(tmp_path: Path) -> None:
    (tmp_path / ADAPTER_CONFIG_NAME).touch()
    grow(tmp_path / ADAPTER_CONFIG_NAME, 2**30)
    assert "such a file has at most" in complaint(read_adapter, tmp_path)


def test_adapters_weights_of_a_hundred_gigabytes_are_not_read(tmp_path: Path) -> None:
    info = {"base_sha256": "0", "like": CONFIG.classes[0], "config": CONFIG.model_dump()}
    config = {
        "peft_type": "LORA",
        "r": 4,
        "lora_alpha": 4,
        "base_model_name_or_path": None,
        "auto_mapping": info,
        **AS_HERE,
    }
    (tmp_path / ADAPTER_CONFIG_NAME).write_text(json.dumps(config))
    size = 100 * 2**30
    path = tmp_path / ADAPTER_WEIGHTS_NAME
    path.write_bytes(safetensors({"huge": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}))
    grow(path, path.stat().st_size + size)
    assert "such a file has at most" in complaint(read_adapter, tmp_path)


def test_a_pipe_is_no_config(generator: Path) -> None:
    """Reading one waits for ever."""
    (generator / "config.json").unlink()
    os.mkfifo(generator / "config.json")
    assert "is no file" in complaint(TinyDiT.from_pretrained, generator)


@pytest.mark.parametrize(("key", "value"), [("image_size", 200_000), ("distance_dims", 10**12)])
def test_a_classifiers_config_cannot_ask_for_all_memory(tmp_path: Path, key: str, value: int) -> None:
    config = {
        "model_type": "tinycats-classifier", "classes": ["a", "b"], "arch": "resnet18", "image_size": 32, "mean": [0.5] * 3,
        "std": [0.5] * 3, "other": None, "flip_at_test": False, key: value,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    message = complaint(Classifier.from_pretrained, tmp_path)
    assert f"config.json: {key}: Input should be less than or equal to" in message


def model_of(tensor: TensorProto, *, as_constant: bool = False, config: str | None = None) -> onnx.ModelProto:
    """A model that adds a tensor of one value, which is a weight, or a constant in a branch of an operator."""
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    if as_constant:
        branch = helper.make_graph(
            [helper.make_node("Constant", [], ["c"], value=tensor)], "branch", [],
            [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])],
        )  # fmt: skip
        always = helper.make_tensor("always", TensorProto.BOOL, [], [True])
        nodes = [
            helper.make_node("If", ["always"], ["w"], then_branch=branch, else_branch=branch),
            helper.make_node("Add", ["x", "w"], ["y"]),
        ]
        graph = helper.make_graph(nodes, "g", [value], [result], [always])
    else:
        graph = helper.make_graph(
            [helper.make_node("Add", ["x", tensor.name], ["y"])], "g", [value], [result], [tensor]
        )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    if config is not None:
        helper.set_model_props(model, {CONFIG_KEY: config})
    return model


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.mark.parametrize("as_constant", [False, True])
@pytest.mark.parametrize("location", ["weights.bin", "../secret"])
def test_an_onnx_file_cannot_name_other_files(tmp_path: Path, location: str, as_constant: bool) -> None:
    (tmp_path / "model").mkdir()
    for path in (tmp_path / "secret", tmp_path / "model/weights.bin"):
        path.write_bytes(np.float32([5]).tobytes())
    path = tmp_path / "model/model.onnx"
    onnx.save(model_of(external(location), as_constant=as_constant), path)
    assert "keeps weights in a second file; it must be a single file" in complaint(open_session, path)


def test_an_onnx_file_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(helper.make_tensor("w", TensorProto.FLOAT, [1], [5.0])), path)
    open_session(path)
    grow(path, 3 * 2**30)
    assert f"such a file has at most {MAX_ONNX_BYTES}" in complaint(open_session, path)


def test_a_shape_of_a_hundred_gigabytes_in_a_small_onnx_file(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[25 * 2**30], raw_data=bytes(4))
    path = tmp_path / "model.onnx"
    path.write_bytes(model_of(tensor).SerializeToString())
    assert "is not an intact ONNX model" in complaint(open_session, path)


@pytest.mark.parametrize("config", ["", "[", "[" * 20_000, "[1]", '{"model_type": ["a"]}', "null"])
def test_metadata_of_an_onnx_file_that_is_no_config(tmp_path: Path, config: str) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(model_of(helper.make_tensor("w", TensorProto.FLOAT, [1], [5.0]), config=config), path)
    complaint(open_onnx, path)


def test_a_checkpoint_that_unpacks_to_more_than_it_has_is_damaged(tmp_path: Path) -> None:
    """torch reads packed records too, into as much memory as they claim."""
    run = RunDirectory(tmp_path / "run")
    run.save(1, {"weights": torch.zeros(4)})
    assert run.load(1) is not None
    run.save(2, {"weights": torch.zeros(2**20)})
    (path,) = (tmp_path / "run").glob("checkpoint-*2-*.pt")
    with zipfile.ZipFile(path) as stored, zipfile.ZipFile(tmp_path / "packed", "w", zipfile.ZIP_DEFLATED) as packed:
        for info in stored.infolist():
            packed.writestr(info.filename, stored.read(info))
    path.unlink()
    (tmp_path / "packed").rename(tmp_path / f"run/checkpoint-000000002-{file_hash(tmp_path / 'packed')[:DIGITS]}.pt")
    loaded = run.load(2)
    assert loaded is not None
    assert loaded["step"] == 1
