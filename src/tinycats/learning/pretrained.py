"""Model directories: config.json + model.safetensors, written whole, loadable by `from_pretrained`, also from the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self, TypeVar

import safetensors
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tinycats.runtime.bounds import check_weights, read_small
from tinycats.runtime.errors import UserError, first_line
from tinycats.runtime.files import atomic_directory
from tinycats.runtime.params import Fit
from tinycats.runtime.words import some

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
FILES = f"a model directory holds {CONFIG_NAME} and {WEIGHTS_NAME}"
DOWNLOAD_ATTEMPTS = 3
C = TypeVar("C", bound="ModelConfig")
M = TypeVar("M", bound=BaseModel)


class ModelConfig(BaseModel):
    """What config.json holds. `model_type` tells the kinds of directories apart."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    model_type: str
    classes: list[str]
    fit: Fit = "crop"  # how the images it was trained on became squares

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
        with atomic_directory(path) as directory:
            config = self.config.model_dump_json(indent=2) + "\n"
            (directory / CONFIG_NAME).write_text(config, encoding="utf-8")
            write_tensors(self.state_dict(), directory / WEIGHTS_NAME)

    @classmethod
    def from_pretrained(cls, path: Path | str, *, subfolder: str = "", revision: str | None = None) -> Self:
        """Load a model directory, in eval mode, on the CPU.

        A string that is no directory here but reads like user/name is a repository on the Hugging Face Hub, where
        `revision` is a branch, tag or commit (None: the current one). Its files are kept in the Hub's cache.
        Raises UserError if a file is missing, damaged or does not fit the config, or if the Hub does not have it.
        """
        directory = Path(path)
        if is_repository(path):
            files = [str(PurePosixPath(subfolder, name)) for name in (CONFIG_NAME, WEIGHTS_NAME)]
            directory = download(str(path), files, revision)
        directory = directory / subfolder
        config = read_config(directory, cls.config_type)
        tensors = read_weights(directory)
        with torch.device("meta"):  # takes no memory, however large a network the config describes
            expected = cls(config).state_dict()
        check_tensors(directory / WEIGHTS_NAME, tensors, expected, CONFIG_NAME)
        model = cls(config)
        model.load_state_dict(tensors)
        return model.eval()


def is_repository(path: str | os.PathLike[str]) -> bool:
    """Whether a string reads like a repository on the Hub, user/name, and is no directory here."""
    return isinstance(path, str) and path.count("/") == 1 and not Path(path).exists()


def download(repo_id: str, files: Sequence[str], revision: str | None) -> Path:
    """The directory in the Hub's cache that has these files of a repository, all from one commit.

    Raises UserError where the repository or the revision is not there, or the Hub not to be reached.
    """
    from huggingface_hub import snapshot_download  # seldom needed
    from huggingface_hub.errors import HfHubHTTPError, HTTPError, RepositoryNotFoundError, RevisionNotFoundError

    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            return Path(snapshot_download(repo_id, revision=revision, allow_patterns=list(files)))
        except RepositoryNotFoundError:
            reason = "no repository on the Hugging Face Hub that the token (HF_TOKEN or `hf auth login`) can see"
            raise UserError(f"{repo_id}: is not a local directory, and {reason}") from None
        except RevisionNotFoundError:
            raise UserError(f"{repo_id}: has no revision {revision} on the Hugging Face Hub") from None
        except (HTTPError, OSError, ValueError) as error:
            if isinstance(error, HTTPError) and not isinstance(error, HfHubHTTPError) and attempt < DOWNLOAD_ATTEMPTS:
                continue  # after a reset connection the client itself does not try again
            reason = f"unavailable on the Hugging Face Hub: {' '.join(str(error).split())}"
            raise UserError(f"{repo_id}: is not a local directory, and {reason}") from None
    raise AssertionError(DOWNLOAD_ATTEMPTS)


def read_config(directory: Path, config_type: type[C]) -> C:
    return read_validated(directory / CONFIG_NAME, config_type, FILES)


def read_weights(directory: Path) -> dict[str, Tensor]:
    return read_tensors(directory / WEIGHTS_NAME, FILES)


def read_validated(path: Path, kind: type[M], if_missing: str, if_wrong: str = "") -> M:
    """A JSON file as a `kind`. Raises UserError, which ends in `if_missing` or, if the content is wrong, in `if_wrong`."""
    try:
        return kind.model_validate_json(read_small(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {if_missing}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise UserError(f"{path}: {key and f'{key}: '}{message}{if_wrong and f'; {if_wrong}'}") from None


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write a safetensors file that everybody may read."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(plain, path, metadata={"format": "pt"})
    path.chmod(0o644)  # save_file makes it 0600


def read_tensors(path: Path, if_missing: str) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises UserError if it is missing, damaged or too large, or a tensor is not finite."""
    try:
        check_weights(path)
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: not found; {if_missing}") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{path}: is not an intact safetensors file ({first_line(error)})") from None
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} has values that are not finite")
    return tensors


def check_tensors(path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], config: str) -> None:
    """Raise UserError if the tensors in `path` are not those that its neighbour, the file `config`, asks for.

    Of `expected`, names and shapes count, and whether they are floating-point numbers.
    """
    problems = [f"no {name}" for name in expected if name not in tensors]
    problems += [f"unknown {name}" for name in tensors if name not in expected]
    problems += [
        f"{name} is {list(tensors[name].shape)}, not {list(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    problems += [
        f"{name} holds {str(tensors[name].dtype).removeprefix('torch.')}, not floating-point numbers"
        for name, tensor in expected.items()
        if name in tensors and tensor.is_floating_point() and not tensors[name].is_floating_point()
    ]
    if problems:
        raise UserError(f"{path}: does not fit {config}: {some(problems)}")
