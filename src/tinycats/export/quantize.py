"""fp32 ONNX -> int8 ONNX, as single files for onnxruntime-web's WASM: inputs and outputs stay as they are."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static

from tinycats.export.onnx_export import write_onnx
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.runtime.files import scratch_directory

CALIBRATION_BATCH_SIZE = 32


def quantize_generator(source: Path, target: Path) -> None:
    """Matrix products with a weight in int8: weights per column, signed; activations by the range of each run.

    That range is one for the whole batch, so the last digits of an image depend on its neighbours in the batch.
    Products of two activations (attention scores), norms and activations stay in fp32.
    """
    config = OnnxGenerator(source).config
    with _workspace(source) as (copy, raw):
        quantize_dynamic(copy, raw, op_types_to_quantize=["MatMul"], per_channel=True, weight_type=QuantType.QInt8)
        write_onnx(onnx.load(raw), target, config)


def quantize_classifier(source: Path, target: Path, images: np.ndarray) -> None:
    """The trunk in int8 (QDQ): weights per channel, signed; activations by their range over `images`.

    images: uint8 [N, S, S, 3], as they occur in use. The pixels' way to the first convolution, the pooling, the head, the
    distance and the average over the flip stay in fp32. Activations are measured behind ReLU and ReLU6 (Clip), not before: what
    those cut off would cost the rest its digits, 2 points of accuracy of EfficientNet-Lite.
    """
    config = OnnxClassifier(source).config
    with _workspace(source) as (copy, raw):
        quantize_static(
            copy,
            raw,
            _Calibration(images),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Relu", "Clip", "Add", "MaxPool"],
            nodes_to_exclude=_from_head_on(onnx.load(source)),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        write_onnx(onnx.load(raw), target, config)


def _from_head_on(model: onnx.ModelProto) -> list[str]:
    """Names of the linear head and of all nodes that depend on it."""
    names: list[str] = []
    values: set[str] = set()
    for node in model.graph.node:  # in topological order
        if node.op_type in ("Gemm", "MatMul") or values.intersection(node.input):
            names.append(node.name)
            values.update(node.output)
    return names


class _Calibration(CalibrationDataReader):
    def __init__(self, images: np.ndarray) -> None:
        starts = range(0, len(images), CALIBRATION_BATCH_SIZE)
        self.batches = iter([np.ascontiguousarray(images[i : i + CALIBRATION_BATCH_SIZE]) for i in starts])

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        return None if batch is None else {"images": batch}


@contextmanager
def _workspace(source: Path) -> Iterator[tuple[Path, Path]]:
    """A copy of the model and where to write the raw int8 one, in a directory that has onnxruntime's temporary files too.

    Onnxruntime writes next to the model and to the system's directory, where a killed process would leave them. Its warnings are
    about a pre-processing that the export has done (batch norm is folded).
    """
    level, tempdir = logging.root.level, tempfile.tempdir
    with scratch_directory() as scratch:
        copy = scratch / "fp32.onnx"
        shutil.copyfile(source, copy)
        try:
            logging.root.setLevel(logging.ERROR)
            tempfile.tempdir = str(scratch)
            yield copy, scratch / "int8.onnx"
        finally:
            tempfile.tempdir = tempdir
            logging.root.setLevel(level)
