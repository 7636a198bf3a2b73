"""What is in an .onnx file, and does it run?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch

from tinycats.export.onnx_models import OUTPUTS, OnnxClassifier, OnnxGenerator, open_onnx
from tinycats.generator.network import one_hot_classes
from tinycats.generator.sampler import initial_noise
from tinycats.runtime.errors import UserError, first_line

BATCH_SIZES = (1, 2)
INT8_OPERATORS = {"DequantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul"}


def verify_onnx(path: Path) -> str:
    """Say in one line what an exported model is, after running it with batches of 1 and 2.

    Raises UserError naming what is wrong: no such file, not an intact ONNX model, not exported by tinycats, an unexpected
    signature, weights in a second file, or outputs that are not finite or not of the batch that went in.
    """
    model = open_onnx(path)
    proto = onnx.load(path, load_external_data=False)
    for batch_size in BATCH_SIZES:
        _check_run(model, path, batch_size)
    if isinstance(model, OnnxClassifier):
        kind = "classifier"
    else:
        kind = "student" if model.config.few_step else "generator"
    precision = "int8" if INT8_OPERATORS & {node.op_type for node in proto.graph.node} else "fp32"
    opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    signature = " -> ".join(
        ", ".join(f"{value.name} [{', '.join(map(str, value.shape))}]" for value in values)
        for values in (model.session.get_inputs(), model.session.get_outputs())
    )
    return (
        f"ONNX {kind}, {precision}, {model.config.num_classes} classes, {model.config.image_size} px, {signature}, "
        f"opset {opset}, {path.stat().st_size:,} bytes, runs"
    )


def _check_run(model: OnnxClassifier | OnnxGenerator, path: Path, batch_size: int) -> None:
    try:
        outputs = _run(model, batch_size)
    except Exception as error:  # the errors of onnxruntime have no other base class in common
        raise UserError(f"{path}: does not run with a batch of {batch_size} ({first_line(error)})") from None
    for name, output in outputs.items():
        if len(output) != batch_size:
            raise UserError(f"{path}: {name} has {len(output)} rows for a batch of {batch_size}")
        if not np.isfinite(output).all():
            raise UserError(f"{path}: {name} has values that are not finite: the weights are damaged")


def _run(model: OnnxClassifier | OnnxGenerator, batch_size: int) -> dict[str, np.ndarray]:
    size = model.config.image_size
    if isinstance(model, OnnxClassifier):
        images = np.random.default_rng(0).integers(0, 256, (batch_size, size, size, 3), dtype=np.uint8)
        return dict(zip(OUTPUTS, model(images), strict=True))
    times = torch.linspace(0, 1, batch_size)
    classes = one_hot_classes([0] * batch_size, model.config.num_classes)
    noise = initial_noise(0, range(batch_size), size)
    return {"prediction": model(noise, times, torch.zeros(batch_size), classes).numpy()}
