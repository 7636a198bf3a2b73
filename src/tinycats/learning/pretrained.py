"""Model directories: config.json + model.safetensors, written whole, loadable by `from_pretrained`, also from the Hub."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self, TypeVar

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import nn

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory
from tinycats.runtime.params import Fit

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
DOWNLOAD_ATTEMPTS = 3
C = TypeVar("C", bound="ModelConfig")


class ModelConfig(BaseModel):
    """What config.json holds. `model_type` tells the kinds of directories apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    model_type: str
    classes: list[str]
    fit: Fit = "crop"  # how the pictures it was trained on became squares

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def to_dict(self) -> dict[str, Any]:
        """As peft asks a model's config for it."""
        return self.model_dump()


class PretrainedModel(nn.Module):
    """A module that is built from its config alone and saved as a directory."""

    config_type: ClassVar[type[ModelConfig]]

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config

    def save_pretrained(self, path: Path) -> None:
        """Write config.json and model.safetensors into the directory `path`, which appears whole or not at all."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with atomic_directory(path) as directory:
            config = self.config.model_dump_json(indent=2) + "\n"
            (directory / CONFIG_NAME).write_text(config, encoding="utf-8")
            save_file(tensors, directory / WEIGHTS_NAME, metadata={"format": "pt"})
            (directory / WEIGHTS_NAME).chmod(0o644)  # save_file makes it 0600

    @classmethod
    def from_pretrained(cls, path: Path | str, *, subfolder: str = "", revision: str | None = None) -> Self:
        """Load a model directory, in eval mode, on the CPU.

        A string that is no directory here but reads like user/name is a repository on the Hugging Face Hub, where
        `revision` is a branch, tag or commit (None: the current one). Its files are kept in the Hub's cache.
        Raises UserError where a file is missing, is not what it should be, or does not fit the config, or where the Hub
        does not give it.
        """
        directory = Path(path)
        if isinstance(path, str) and path.count("/") == 1 and not directory.exists():
            directory = _download(path, subfolder, revision)
        directory = directory / subfolder
        model = cls(read_config(directory, cls.config_type))
        tensors = read_weights(directory)
        expected = model.state_dict()
        problems = [f"no {name}" for name in expected if name not in tensors]
        problems += [f"unknown {name}" for name in tensors if name not in expected]
        problems += [
            f"{name} is {list(tensors[name].shape)}, not {list(tensor.shape)}"
            for name, tensor in expected.items()
            if name in tensors and tensors[name].shape != tensor.shape
        ]
        if problems:
            more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
            raise UserError(f"{directory / WEIGHTS_NAME}: does not fit {CONFIG_NAME}: {', '.join(problems[:3])}{more}")
        model.load_state_dict(tensors)
        return model.eval()


def _download(repo_id: str, subfolder: str, revision: str | None) -> Path:
    """The directory in the Hub's cache that holds the model files in `subfolder`, all of one commit."""
    from huggingface_hub import snapshot_download  # seldom needed
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    files = [str(PurePosixPath(subfolder, name)) for name in (CONFIG_NAME, WEIGHTS_NAME)]
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            return Path(snapshot_download(repo_id, revision=revision, allow_patterns=files))
        except RepositoryNotFoundError:
            reason = "no repository on the Hugging Face Hub that the token (HF_TOKEN or `hf auth login`) may see"
            raise UserError(f"{repo_id}: is no directory here, and {reason}") from None
        except RevisionNotFoundError:
            raise UserError(f"{repo_id}: has no revision {revision} on the Hugging Face Hub") from None
        except (HTTPError, OSError, ValueError) as error:
            if isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError) and attempt < DOWNLOAD_ATTEMPTS:
                continue  # the client itself does not repeat what a reset connection ended
            reason = f"cannot be had from the Hugging Face Hub: {' '.join(str(error).split())}"
            raise UserError(f"{repo_id}: is no directory here, and {reason}") from None
    raise AssertionError(DOWNLOAD_ATTEMPTS)


def read_config(directory: Path, config_type: type[C]) -> C:
    path = directory / CONFIG_NAME
    try:
        return config_type.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise UserError(f"{path}: not found; a model directory holds {CONFIG_NAME} and {WEIGHTS_NAME}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {key or 'the file'}: {first['msg']}") from None


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    path = directory / WEIGHTS_NAME
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; a model directory holds {CONFIG_NAME} and {WEIGHTS_NAME}") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: is not a whole safetensors file ({error})") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} has values that are not finite")
    return tensors
