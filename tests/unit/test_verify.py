from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.runtime.errors import UserError, first_line
from tinycats.verification.model_directory import verify_model

CLASSES = ["Bengal", "Sphynx", "other"]


@pytest.fixture
def generator(tmp_path: Path) -> Path:
    config = TinyDiTConfig(classes=CLASSES, image_size=32, patch_size=8, width=32, depth=1, heads=2)
    TinyDiT(config).save_pretrained(tmp_path / "generator")
    return tmp_path / "generator"


def classifier_config(**changes: object) -> ClassifierConfig:
    settings = {
        "classes": CLASSES, "other": "other", "arch": "resnet18", "image_size": 32, "mean": (0.5,) * 3, "std": (0.5,) * 3,
        "flip_at_test": True, **changes,
    }  # fmt: skip
    return ClassifierConfig(**settings)


def edit_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensor(path: Path, change: str) -> None:
    tensors = load_file(path)
    name = next(iter(tensors))
    if change == "nan":
        tensors[name].view(-1)[0] = float("nan")
    elif change == "shape":
        tensors[name] = torch.zeros(2, 2)
    elif change == "missing":
        del tensors[name]
    elif change in DTYPES:
        tensors[name] = tensors[name].to(DTYPES[change])
    else:
        tensors["stray"] = torch.zeros(1)
    save_file(tensors, path)


DTYPES = {"int8": torch.int8, "complex64": torch.complex64}


def complaint(directory: Path) -> str:
    with pytest.raises(UserError) as caught:
        verify_model(directory)
    message = str(caught.value)
    assert "\n" not in message
    assert str(directory) in message
    return message


@pytest.mark.parametrize(("said", "line"), [("\n a\nb", "a"), ("a", "a"), ("", "ValueError"), (" \n", "ValueError")])
def test_the_first_line_of_an_error(said: str, line: str) -> None:
    assert first_line(ValueError(said)) == line


def test_describes_each_kind(tmp_path: Path, generator: Path) -> None:
    config = classifier_config()
    Classifier(config).save_pretrained(tmp_path / "classifier")
    # resnet18 has 11,176,512 parameters without its head; ours is 512 x 3 + 3
    assert verify_model(tmp_path / "classifier") == "classifier, 3 classes, resnet18, 32 px, 11,178,051 parameters"
    assert verify_model(generator).startswith("generator, 3 classes, 32 px, patch 8, width 32, depth 1, 2 heads, ")
    student = TinyDiTConfig.model_validate_json((generator / "config.json").read_text()).model_copy(
        update={"few_step": True}
    )
    TinyDiT(student).save_pretrained(tmp_path / "student")
    assert verify_model(tmp_path / "student").startswith("student, 3 classes, 32 px, patch 8, width 32, ")


def test_what_is_no_model_directory(tmp_path: Path) -> None:
    assert "not found" in complaint(tmp_path / "absent")
    assert "not a model directory" in complaint(tmp_path)
    (tmp_path / "file.bin").touch()
    assert "neither" in complaint(tmp_path / "file.bin")
    (tmp_path / "published/onnx_int8").mkdir(parents=True)
    with pytest.raises(UserError, match=r"published: is a published folder; name the models in it"):
        verify_model(tmp_path / "published")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_missing_file(generator: Path, name: str) -> None:
    (generator / name).unlink()
    assert name in complaint(generator)


@pytest.mark.parametrize("keep", [0, 4, 100, 20_000])
def test_truncated_weights(generator: Path, keep: int) -> None:
    path = generator / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "safetensors file" in complaint(generator)


@pytest.mark.parametrize(
    ("change", "words"),
    [("nan", "not finite"), ("shape", "is [2, 2], not"), ("missing", "no "), ("stray", "unknown stray"),
     ("int8", "holds int8, not floating-point numbers"), ("complex64", "holds complex64, not")],
)  # fmt: skip
def test_wrong_tensors(generator: Path, change: str, words: str) -> None:
    edit_tensor(generator / "model.safetensors", change)
    assert words in complaint(generator)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "unheard-of"}, "model_type is 'unheard-of', must be one of tinycats-classifier"),
        ({"model_type": None}, "model_type is 'None'"),
        ({"model_type": ["tinycats-generator"]}, "model_type is \"['tinycats-generator']"),
        ({"width": "broad"}, "width"),
        ({"wdith": 32}, "wdith"),
        ({"classes": []}, "classes is empty"),
        ({"classes": ["Bengal", "Bengal", "other"]}, "contains a name twice"),
        ({"patch_size": 0}, "config.json"),
        ({"width": -32}, "config.json"),
        ({"heads": 5}, "config.json"),
        ({"image_size": 36}, "config.json"),
    ],
)
def test_wrong_config(generator: Path, changes: dict[str, object], words: str) -> None:
    edit_config(generator, **changes)
    assert words in complaint(generator)


@pytest.mark.parametrize("content", [b"", b"{", b"[1, 2]", b"\xff\xfe"])
def test_config_that_is_no_json_object(generator: Path, content: bytes) -> None:
    (generator / "config.json").write_bytes(content)
    assert "JSON" in complaint(generator)


def test_other_must_be_a_class(tmp_path: Path) -> None:
    config = classifier_config(other="dogs")
    Classifier(config).save_pretrained(tmp_path / "classifier")
    assert "other is 'dogs'" in complaint(tmp_path / "classifier")
