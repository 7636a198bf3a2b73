"""The exported models through onnxruntime, on the CPU: a lone .onnx file is enough, its config is in its metadata.

The metadata key `config` of the ONNX model holds the text of the model directory's config.json: model_type, classes,
image_size and the rest.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
import onnxruntime as ort
import torch
from pydantic import ValidationError
from torch import Tensor

from tinycats.classifier.network import ClassifierConfig
from tinycats.generator.network import TinyDiTConfig
from tinycats.learning.pretrained import ModelConfig
from tinycats.runtime.bounds import MAX_ONNX_BYTES, check_size
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.track import track

CONFIG_KEY = "config"
BATCH_SIZE = 32
OUTPUTS = ("probabilities", "distance", "features")  # of a classifier
C = TypeVar("C", bound=ModelConfig)
# Name, ONNX type and shape after the batch of each input or output; None is any shape.
Signature = dict[str, tuple[str, list[int] | None]]


class OnnxClassifier:
    """classifier.onnx, fp32 or int8: uint8 images in; probabilities, distance and last feature map out."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is missing, damaged or no such model."""
        self.session = open_session(path)
        self.config = _read_config(self.session, path, ClassifierConfig)
        size = self.config.image_size
        _check_signature(
            self.session,
            path,
            inputs={"images": ("tensor(uint8)", [size, size, 3])},
            outputs={
                "probabilities": ("tensor(float)", [self.config.num_classes]),
                "distance": ("tensor(float)", []),
                "features": ("tensor(float)", None),
            },
        )

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of uint8 images [B, H, W, 3], in one run, float32: probabilities [B, K], distances [B] and feature map [B, C, h, w]."""
        probabilities, distances, features = self.session.run(list(OUTPUTS), {"images": images})
        return probabilities, distances, features

    def predict(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities [N, K] and distances [N], float32, of uint8 images [N, H, W, 3] of the model's size, in batches."""
        starts = range(0, len(images), BATCH_SIZE)
        answers = [
            self(np.ascontiguousarray(images[i : i + BATCH_SIZE]))[:2]
            for i in track(starts, "classifying images, batches")
        ]
        probabilities, distances = zip(*answers, strict=True)
        return np.concatenate(probabilities), np.concatenate(distances)


class OnnxGenerator:
    """generator.onnx, fp32 or int8, callable on tensors as TinyDiT is, so that the same sampler drives it."""

    def __init__(self, path: Path) -> None:
        """Raises UserError where the file is missing, damaged or no such model."""
        self.session = open_session(path)
        self.config = _read_config(self.session, path, TinyDiTConfig)
        image = [3, self.config.image_size, self.config.image_size]
        _check_signature(
            self.session,
            path,
            inputs={
                "x": ("tensor(float)", image),
                "t": ("tensor(float)", []),
                "h": ("tensor(float)", []),
                "class_weights": ("tensor(float)", [self.config.num_classes + 1]),
            },
            outputs={"prediction": ("tensor(float)", image)},
        )

    def __call__(self, x: Tensor, t: Tensor, h: Tensor, class_weights: Tensor) -> Tensor:
        """Predict the clean image, float32 (N, 3, S, S), as TinyDiT.forward does."""
        feeds = {"x": x, "t": t, "h": h, "class_weights": class_weights}
        arrays = {name: tensor.contiguous().numpy() for name, tensor in feeds.items()}
        return torch.from_numpy(self.session.run(["prediction"], arrays)[0])


def open_onnx(path: Path) -> OnnxClassifier | OnnxGenerator:
    """Open an exported model of either kind, as its metadata says. Raises UserError as the two classes do."""
    kinds: dict[str, type[OnnxClassifier] | type[OnnxGenerator]] = {
        "tinycats-classifier": OnnxClassifier,
        "tinycats-generator": OnnxGenerator,
    }
    try:
        config = json.loads(_config_text(open_session(path), path))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its metadata: {CONFIG_KEY}: is not JSON ({first_line(error)})") from None
    model_type = config.get("model_type") if isinstance(config, dict) else None
    if not isinstance(model_type, str) or model_type not in kinds:
        raise UserError(f"{path}: model_type is {model_type!r}, must be one of {', '.join(kinds)}")
    return kinds[model_type](path)


def open_session(path: Path) -> ort.InferenceSession:
    """A session with as many threads as torch has. Raises UserError where the file is missing, damaged, too large or not all."""
    if not path.exists():
        raise UserError(f"{path}: not found")
    check_size(path, MAX_ONNX_BYTES)
    _check_single(path)
    options = ort.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # what is wrong with the file is in the exception
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the errors of onnxruntime have no other base class in common
        raise UserError(f"{path}: is not an intact ONNX model ({first_line(error)})") from None


def _check_single(path: Path) -> None:
    """Raise UserError where the file names other files to be read, which may be any of this machine's."""
    try:
        tensors = list(_tensors(onnx.load(path, load_external_data=False)))
    except Exception as error:  # protobuf's own error type moves between its versions
        raise UserError(f"{path}: is not an intact ONNX model ({first_line(error)})") from None
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise UserError(f"{path}: keeps weights in a second file; it must be a single file")


def _tensors(message: Any) -> Iterator[onnx.TensorProto]:
    """Those anywhere in a model: its weights, and the constants of its operators, also in subgraphs and functions."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _tensors(part)


def _config_text(session: ort.InferenceSession, path: Path) -> str:
    metadata = session.get_modelmeta().custom_metadata_map
    if CONFIG_KEY not in metadata:
        raise UserError(f"{path}: was not exported by tinycats: its metadata has no {CONFIG_KEY!r}")
    return metadata[CONFIG_KEY]


def _read_config(session: ort.InferenceSession, path: Path, config_type: type[C]) -> C:
    try:
        return config_type.model_validate_json(_config_text(session, path))
    except ValidationError as error:
        errors = error.errors(include_url=False)
        for of_kind in (each for each in errors if each["loc"] == ("model_type",)):
            wanted = config_type.model_fields["model_type"].default
            raise UserError(f"{path}: is a {of_kind['input']}, and no {wanted}") from None
        first = errors[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: its metadata: {key or CONFIG_KEY}: {first['msg']}") from None


def _check_signature(session: ort.InferenceSession, path: Path, inputs: Signature, outputs: Signature) -> None:
    for kind, expected, there in (
        ("inputs", inputs, session.get_inputs()),
        ("outputs", outputs, session.get_outputs()),
    ):
        if [value.name for value in there] != list(expected):
            names = ", ".join(value.name for value in there)
            raise UserError(f"{path}: its {kind} are {names}, must be {', '.join(expected)}")
        for value in there:
            value_type, shape = expected[value.name]
            wrong_shape = not isinstance(value.shape[0], str) or (shape is not None and value.shape[1:] != shape)
            if value.type != value_type or wrong_shape:
                wanted = "..." if shape is None else ", ".join(map(str, shape))
                raise UserError(
                    f"{path}: {value.name} is {value.type} {value.shape}, must be {value_type} ['batch', {wanted}]"
                )
