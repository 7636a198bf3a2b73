"""What is in a model directory, and is it intact?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from tinycats.adapters.adapter import ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME, Adapter, read_adapter
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.learning.pretrained import CONFIG_NAME, ModelConfig, PretrainedModel, read_config
from tinycats.runtime.bounds import read_small
from tinycats.runtime.errors import UserError, first_line

MODEL_TYPES: dict[str, type[PretrainedModel]] = {
    str(model.config_type.model_fields["model_type"].default): model for model in (Classifier, TinyDiT)
}


def verify_model(directory: Path) -> str:
    """Say in one line what a model directory (full model or LoRA adapter) holds.

    Every tensor is read, and a full model is run once. Raises UserError naming what is missing or wrong: a file, a key
    of config.json, a tensor's shape or values.
    """
    if not directory.exists():
        raise UserError(f"{directory}: not found")
    if not directory.is_dir():
        raise UserError(f"{directory}: is neither a model directory nor an .onnx file")
    if any((directory / name).exists() for name in (ADAPTER_CONFIG_NAME, ADAPTER_WEIGHTS_NAME)):
        return _describe_adapter(read_adapter(directory))
    if (directory / "onnx_int8").is_dir():
        raise UserError(f"{directory}: is a published folder; name the models in it, as {directory}/onnx_int8/*.onnx")
    if not (directory / CONFIG_NAME).exists():
        raise UserError(
            f"{directory}: is not a model directory: it has neither {CONFIG_NAME} nor {ADAPTER_CONFIG_NAME}"
        )
    return _describe(_load(directory))


def _load(directory: Path) -> PretrainedModel:
    """Load a full model of any kind, as its config.json says, and run it once."""
    path = directory / CONFIG_NAME
    model_type = str(_read_object(path).get("model_type"))
    if model_type not in MODEL_TYPES:
        raise UserError(f"{path}: model_type is {model_type!r}, must be one of {', '.join(MODEL_TYPES)}")
    model_class = MODEL_TYPES[model_type]
    _check_classes(path, read_config(directory, model_class.config_type))
    try:
        model = model_class.from_pretrained(directory)
        output = _run(model)
    except (ArithmeticError, MemoryError, RuntimeError, ValueError) as error:  # sizes that make no network
        raise UserError(f"{path}: describes a model that does not run ({first_line(error)})") from None
    if not output.isfinite().all():
        raise UserError(f"{directory}: its output for an empty image is not finite; its weights are damaged")
    return model


@torch.inference_mode()
def _run(model: PretrainedModel) -> torch.Tensor:
    """The output for one image of zeros: config and weights can agree where the network does not work."""
    config = model.config
    match config:
        case TinyDiTConfig():
            t, class_weights = torch.zeros(1), one_hot_classes([0], config.num_classes)
            return model(torch.zeros(1, 3, config.image_size, config.image_size), t, t, class_weights)
        case ClassifierConfig():
            return model(torch.zeros(1, 3, config.image_size, config.image_size))[0]
    raise AssertionError(config)


def _check_classes(path: Path, config: ModelConfig) -> None:
    if not config.classes:
        raise UserError(f"{path}: classes is empty")
    if len(set(config.classes)) < len(config.classes):
        raise UserError(f"{path}: classes contains a name twice")
    if isinstance(config, ClassifierConfig) and config.other not in (None, *config.classes):
        raise UserError(f"{path}: other is {config.other!r}, which is not among the classes")


def _describe(model: PretrainedModel) -> str:
    config = model.config
    match config:
        case ClassifierConfig():
            kind, details = "classifier", [config.arch, f"{config.image_size} px"]
        case TinyDiTConfig():
            kind = "student" if config.few_step else "generator"
            details = [f"{config.image_size} px", f"patch {config.patch_size}"]
            details += [f"width {config.width}", f"depth {config.depth}", f"{config.heads} heads"]
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return ", ".join([kind, f"{config.num_classes} classes", *details, f"{parameters:,} parameters"])


def _describe_adapter(adapter: Adapter) -> str:
    info = adapter.info
    return (
        f"LoRA adapter for {adapter.base_name}, {info.name} (starting as {info.like}), {info.config.image_size} px, "
        f"rank {adapter.rank}, {adapter.parameters:,} parameters"
    )


def _read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_small(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not JSON ({first_line(error)})") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is not a JSON object")
    return content
