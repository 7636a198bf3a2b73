"""torch -> ONNX: one file a model, fp32, dynamic batch, the same bytes every time."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from tinycats.classifier.network import Classifier
from tinycats.export.onnx_models import CONFIG_KEY
from tinycats.generator.network import TinyDiT
from tinycats.learning.pretrained import ModelConfig
from tinycats.runtime.errors import UserError

EXAMPLE_BATCH = 2  # 0 and 1 would be taken for constants


class _Answers(nn.Module):
    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return self.classifier.answers(images)


def export_classifier(model: Classifier, path: Path, opset: int) -> None:
    """Write Classifier.answers: from `images`, uint8 [batch, S, S, 3], to `probabilities`, `distance` and `features`."""
    size = model.config.image_size
    images = torch.zeros(EXAMPLE_BATCH, size, size, 3, dtype=torch.uint8)
    program = _trace(_Answers(model), {"images": images}, ["probabilities", "distance", "features"], opset)
    program.optimize()
    write_onnx(program.model_proto, path, model.config)


def export_generators(models: Mapping[Path, TinyDiT], opset: int) -> None:
    """Write TinyDiT.forward of each: `x`, `t`, `h`, `class_weights` -> `prediction`, with no guidance inside.

    Models of one architecture, as teacher and student are, share a graph: tracing it takes far longer than the rest.
    """
    traced: dict[str, torch.onnx.ONNXProgram] = {}
    for path, model in models.items():
        config = model.config
        inputs = {
            "x": torch.zeros(EXAMPLE_BATCH, 3, config.image_size, config.image_size),
            "t": torch.zeros(EXAMPLE_BATCH),
            "h": torch.zeros(EXAMPLE_BATCH),
            "class_weights": torch.zeros(EXAMPLE_BATCH, config.num_classes + 1),
        }
        architecture = config.model_dump_json(exclude={"few_step"})
        if architecture not in traced:
            traced[architecture] = _trace(model, inputs, ["prediction"], opset)
        program = copy.copy(traced[architecture])
        program.model = program.model.clone()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # for a weight that the graph lacks
            program.apply_weights(model.state_dict())
        program.optimize()
        write_onnx(program.model_proto, path, config)


def _trace(module: nn.Module, inputs: dict[str, Tensor], outputs: list[str], opset: int) -> torch.onnx.ONNXProgram:
    """The graph as it is written down, its initializers named as the module's parameters."""
    batch = torch.export.Dim("batch")
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with torch.no_grad(), torch.autocast("cpu", enabled=False), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Not left to torch.onnx.export, which falls back to a fixed batch in silence where the dynamic one fails.
        exported = torch.export.export(
            module.eval(), tuple(inputs.values()), dynamic_shapes=tuple({0: batch} for _ in inputs), strict=False
        )
        program = torch.onnx.export(
            exported,
            dynamo=True,
            opset_version=opset,
            input_names=list(inputs),
            output_names=outputs,
            verbose=False,
            optimize=False,
        )
    assert program is not None  # it is None only where a file was asked for
    written = program.model.opset_imports[""]
    if written != opset:  # torch writes 18 where it cannot convert to an older one
        raise UserError(f"export.opset: the model cannot be written in opset {opset}; use {written}")
    return program


def write_onnx(model: onnx.ModelProto, path: Path, config: ModelConfig) -> None:
    """Write a model as one file whose bytes depend only on the graph, the weights and the config.

    Stack traces and other notes, which name paths of this machine, are removed, and so are the inferred shapes inside
    the graph, which quantize_dynamic stumbles over. The first dimension of every input and output is named `batch`.
    """
    _strip(model)
    del model.graph.value_info[:]
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, {CONFIG_KEY: config.model_dump_json()})
    onnx.checker.check_model(model, full_check=True)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _strip(message: Any) -> None:
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props"):
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _strip(part)
