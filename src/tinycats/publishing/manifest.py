"""manifest.json: all that the web page needs to know about the published files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from tinycats.adapters.adapter import Adapter
from tinycats.classifier.network import ClassifierConfig
from tinycats.generator.network import TinyDiTConfig
from tinycats.publishing.layout import GENERATORS, HEAD_NAME, MANIFEST_NAME
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.runtime.params import SamplerSettings
from tinycats.runtime.track import track

SCHEMA_VERSION = 3


def list_files(directory: Path) -> list[dict[str, Any]]:
    """{"path", "sha256", "bytes"} of every file below `directory` except the manifest, sorted by path."""
    paths = sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())
    return [
        {"path": path, "sha256": file_hash(directory / path), "bytes": (directory / path).stat().st_size}
        for path in track(paths, "hashing files")
        if path != MANIFEST_NAME
    ]


def describe_classifier(config: ClassifierConfig, folder: Path, channels: int) -> dict[str, Any]:
    """`channels`: of the last feature map, which the head's weights multiply."""
    inputs, outputs = _signature(folder / "onnx/classifier.onnx")
    return {
        "classes": config.classes,
        "other": config.other,
        "image_size": config.image_size,
        "temperature": config.temperature,  # already applied in the ONNX files
        "reject_threshold": config.reject_threshold,
        "distance_limit": config.distance_limit,
        "files": {"fp32": "onnx/classifier.onnx", "int8": "onnx_int8/classifier.onnx"},
        "inputs": inputs,
        "outputs": outputs,
        "input_convention": {
            "layout": "NHWC",
            "colour": "RGB",
            "range": [0, 255],
            "fit": config.fit,
        },
        # logits = mean over the feature map of head @ features + bias: head @ features at each place is the heat map
        "head": {"path": HEAD_NAME, "type": "float32", "shape": [config.num_classes, channels], "order": "row-major"},
    }


def describe_generator(name: str, config: TinyDiTConfig, sampler: SamplerSettings, folder: Path) -> dict[str, Any]:
    """`name`: of its ONNX file, one of GENERATORS."""
    inputs, outputs = _signature(folder / f"onnx/{name}.onnx")
    return {
        "classes": config.classes,
        "view": config.view,
        "null_class": config.num_classes,
        "image_size": config.image_size,
        "patch_size": config.patch_size,
        "files": {"fp32": f"onnx/{name}.onnx", "int8": f"onnx_int8/{name}.onnx"},
        "inputs": inputs,
        "outputs": outputs,
        "input_convention": {"layout": "NCHW", "colour": "RGB", "range": [-1, 1]},
        "time_convention": {"noise": 0, "data": 1, "h": "step" if config.few_step else 0},
        "prediction": "x",
        "few_step": config.few_step,
        "sampler": sampler.model_dump(),
        "golden": GENERATORS[name],
    }


def describe_adapter(adapter: Adapter, path: str) -> dict[str, Any]:
    """`path`: of its directory in the published folder."""
    info = adapter.info
    return {"path": path, "name": info.name, "like": info.like, "rank": adapter.rank, "base_sha256": info.base_sha256}


def describe(
    *,
    name: str,
    version: str | None,
    licence: str,
    revision: str | None,
    data: dict[str, Any],
    classifier: dict[str, Any],
    generators: dict[str, dict[str, Any]],
    adapters: list[dict[str, Any]],
    metrics: dict[str, Any],
) -> dict[str, Any]:
    """The manifest without its list of files, which differs between the folders."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": name,
        "version": version,
        "licence": licence,
        "revision": revision,
        "data": data,
        "classifier": classifier,
        **generators,
        "adapters": adapters,
        "metrics": {key: metrics[key] for key in ("evaluate", "quantize") if key in metrics},
    }


def _signature(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Name, type and shape (a word where it is dynamic) of an ONNX file's inputs and outputs, as the file has them."""
    try:
        graph = onnx.load(path, load_external_data=False).graph
    except Exception as error:  # protobuf's own error type moves between its versions
        raise UserError(f"{path}: is not an ONNX file ({error})") from None
    return [_tensor(value) for value in graph.input], [_tensor(value) for value in graph.output]


def _tensor(value: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = value.type.tensor_type
    return {
        "name": value.name,
        "type": onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name,
        "shape": [dimension.dim_param or dimension.dim_value for dimension in tensor.shape.dim],
    }
