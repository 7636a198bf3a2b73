"""LoRA adapters of the generator (Hu et al. 2021): one more class, learned from a few photos of one animal.

An adapter directory is peft's: adapter_config.json and adapter_model.safetensors. It holds a low-rank change of the blocks'
matrices and the whole class embedding, which has one column more than the base's. What peft has no key for (which base,
which class) is in `auto_mapping` of the config, which peft leaves alone. peft itself is imported only where it is needed.
"""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator
from torch import Tensor

from tinycats.adapters.student import add_change, teacher_of
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.learning.pretrained import (
    WEIGHTS_NAME,
    check_tensors,
    read_config,
    read_tensors,
    read_validated,
    write_tensors,
)
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, file_hash

ADAPTER_CONFIG_NAME = "adapter_config.json"
ADAPTER_WEIGHTS_NAME = "adapter_model.safetensors"
FILES = f"an adapter directory holds {ADAPTER_CONFIG_NAME} and {ADAPTER_WEIGHTS_NAME}"
TARGETS = r"blocks\.\d+\.(attention\.(qkv|out)|mlp\.[02]|modulation)"  # names of the matrices that are changed
CLASS_EMBEDDING = "class_embedding"
PREFIX = "base_model.model."  # of peft's tensor names
AS_HERE = {"target_modules": TARGETS, "modules_to_save": [CLASS_EMBEDDING], "bias": "none"}
SWITCHED_OFF = (
    "alpha_pattern", "exclude_modules", "fan_in_fan_out", "layer_replication", "layers_pattern", "layers_to_transform",
    "lora_bias", "rank_pattern", "target_parameters", "trainable_token_indices", "use_dora", "use_rslora",
)  # fmt: skip


class AdapterInfo(BaseModel):
    """What the adapter is for. `config` is that of the base with the new class, the last of its classes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    base_model_class: Literal["TinyDiT"] = "TinyDiT"
    parent_library: Literal["tinycats.generator.network"] = "tinycats.generator.network"
    base_sha256: str  # of the base's model.safetensors
    like: str  # the class of the base that the new one started from
    config: TinyDiTConfig

    @property
    def name(self) -> str:
        """The new class."""
        return self.config.classes[-1]

    @model_validator(mode="after")
    def _starts_from_a_class(self) -> Self:
        *before, new = self.config.classes
        if new in before:
            raise ValueError(f"config.classes: {new!r} comes twice")
        if self.like not in before:
            raise ValueError(f"like: {self.like!r} is none of the classes of config")
        return self


class AdapterConfig(BaseModel):
    """The keys of adapter_config.json that are ours to check; peft writes many more, of which AS_HERE change what it does."""

    model_config = ConfigDict(extra="allow", frozen=True)
    peft_type: Literal["LORA"]
    r: Annotated[StrictInt, Field(ge=1)]
    lora_alpha: float
    base_model_name_or_path: str | None
    auto_mapping: AdapterInfo

    @model_validator(mode="after")
    def _as_adapt_makes_it(self) -> Self:
        extra = self.model_extra or {}
        expected = {**AS_HERE, **dict.fromkeys(SWITCHED_OFF)}
        wrong = [key for key, value in expected.items() if (extra.get(key) or None) != value]
        if self.lora_alpha != self.r:
            raise ValueError(f"lora_alpha: must be {self.r}, as r is, got {self.lora_alpha}")
        if wrong:
            key = wrong[0]
            must = expected[key] if key in AS_HERE else "absent, null, false or empty"
            raise ValueError(f"{key}: must be {must}, got {extra.get(key)!r}")
        return self


@dataclass(frozen=True)
class Adapter:
    directory: Path
    rank: int
    base_name: str  # the base's directory, when it was made
    info: AdapterInfo
    parameters: int


def import_peft() -> ModuleType:
    """The package peft. Raises UserError if it is not installed."""
    if importlib.util.find_spec("peft") is None:
        raise UserError("adapters need the package peft, which is not installed: pip install 'tinycats[adapt]'")
    import tinycats.runtime.vision  # noqa: F401  # peft imports torchvision
    import peft  # isort: skip

    return peft


def add_class(base: TinyDiT, name: str, like: str) -> TinyDiT:
    """The base with one more class, the last, which looks like `like`. Raises UserError if there is no such class."""
    classes = base.config.classes
    if name in classes:
        raise UserError(f"{name!r} is already a class of the generator; choose another name")
    if like not in classes:
        raise UserError(f"no class {like!r}; the classes are {', '.join(sorted(classes))}")
    model = TinyDiT(base.config.model_copy(update={"classes": [*classes, name]}))
    state = base.state_dict()
    columns = state[f"{CLASS_EMBEDDING}.weight"]  # (D, K + 1), the null class last
    start = columns[:, classes.index(like)][:, None]
    state[f"{CLASS_EMBEDDING}.weight"] = torch.cat([columns[:, :-1], start, columns[:, -1:]], dim=1)
    model.load_state_dict(state)
    return model.eval()


def inject_adapter(model: TinyDiT, rank: int) -> TinyDiT:
    """Put peft's layers into the model, in place: only they and the class embedding train from now on."""
    peft = import_peft()
    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS, modules_to_save=[CLASS_EMBEDDING])
    injected: TinyDiT = peft.inject_adapter_in_model(config, model)
    return injected


def save_adapter(model: TinyDiT, base: Path, like: str, output: Path) -> None:
    """Write the adapter in `model`, made for the model directory `base`; it appears whole or not at all."""
    peft = import_peft()
    info = AdapterInfo(base_sha256=file_hash(base / WEIGHTS_NAME), like=like, config=model.config)
    config: object = model.peft_config["default"]  # type: ignore[index]
    config.auto_mapping = info.model_dump()  # type: ignore[attr-defined]
    config.base_model_name_or_path = str(base)  # type: ignore[attr-defined]
    config.inference_mode = True  # type: ignore[attr-defined]
    tensors = {PREFIX + name: tensor for name, tensor in peft.get_peft_model_state_dict(model).items()}
    with atomic_directory(output) as directory:
        config.save_pretrained(str(directory))  # type: ignore[attr-defined]
        write_tensors(tensors, directory / ADAPTER_WEIGHTS_NAME)


def read_adapter_config(directory: Path) -> AdapterConfig:
    return read_validated(directory / ADAPTER_CONFIG_NAME, AdapterConfig, FILES, "`tinycats adapt` writes adapters")


def read_adapter(directory: Path) -> Adapter:
    """Read and check an adapter directory, every tensor of it, without peft.

    Raises UserError naming what is missing or wrong: a file, a key of the config, a tensor's shape or values.
    """
    config = read_adapter_config(directory)
    tensors = read_tensors(directory / ADAPTER_WEIGHTS_NAME, FILES)
    expected = _expected(config.auto_mapping.config, config.r)
    check_tensors(directory / ADAPTER_WEIGHTS_NAME, tensors, expected, ADAPTER_CONFIG_NAME)
    parameters = sum(tensor.numel() for tensor in tensors.values())
    base_name = config.base_model_name_or_path or "an unnamed model"
    return Adapter(directory, config.r, base_name, config.auto_mapping, parameters)


def check_base(adapter: Adapter, base: Path) -> None:
    """Raise UserError if the adapter was made for another generator than the model directory `base`."""
    config, info = read_config(base, TinyDiTConfig), adapter.info
    with_class = config.model_copy(update={"classes": [*config.classes, info.name]})
    if with_class != info.config:
        different = "classes or sizes"
    elif not (base / WEIGHTS_NAME).exists() or file_hash(base / WEIGHTS_NAME) != info.base_sha256:
        different = "weights"
    else:
        return
    raise UserError(
        f"{adapter.directory}: was made for another generator ({adapter.base_name} at that time) than {base}, "
        f"which has other {different}; name that one, or run `tinycats adapt` again"
    )


def load_adapted(base: Path, directory: Path) -> TinyDiT:
    """The base with the adapter's changes in its weights: a full model with one class more, in eval mode, on the CPU.

    `base` may be the student of the generator that the adapter was made for, if that lies beside it. Raises UserError if either
    is damaged or they do not belong together.
    """
    adapter = read_adapter(directory)
    if read_config(base, TinyDiTConfig).few_step:
        teacher = teacher_of(base)
        after = load_adapted(teacher, directory)
        before, student = (
            add_class(TinyDiT.from_pretrained(path), adapter.info.name, adapter.info.like) for path in (teacher, base)
        )
        return add_change(student, before, after)
    check_base(adapter, base)
    peft = import_peft()
    model = add_class(TinyDiT.from_pretrained(base), adapter.info.name, adapter.info.like)
    merged: TinyDiT = peft.PeftModel.from_pretrained(model, str(directory)).merge_and_unload()
    return merged.requires_grad_(True).eval()


def _expected(config: TinyDiTConfig, rank: int) -> dict[str, Tensor]:
    """Every tensor of an adapter, by name, without memory for its values."""
    with torch.device("meta"):
        model = TinyDiT(config)
        tensors = {f"{PREFIX}{CLASS_EMBEDDING}.weight": model.class_embedding.weight.data}
        for name, module in model.named_modules():
            if re.fullmatch(TARGETS, name) and isinstance(module, torch.nn.Linear):
                tensors[f"{PREFIX}{name}.lora_A.weight"] = torch.empty(rank, module.in_features)
                tensors[f"{PREFIX}{name}.lora_B.weight"] = torch.empty(module.out_features, rank)
    return tensors
