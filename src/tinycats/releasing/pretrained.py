"""Where a released folder has its models, and whether they are intact."""

from __future__ import annotations

from pathlib import Path

from tinycats.publishing.layout import MANIFEST_NAME
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash, read_json

PRETRAINED = Path("pretrained")


def released_model(folder: Path, model: str = "classifier") -> Path:
    """The int8 file of a model of `folder`. Raises UserError where it is not what the folder's manifest says."""
    manifest = folder / MANIFEST_NAME
    try:
        content = read_json(manifest)
        name = content[model]["files"]["int8"]
        expected = {file["path"]: file["sha256"] for file in content["files"]}[name]
    except FileNotFoundError:
        raise UserError(f"{manifest}: not found; `git checkout {folder}` restores it") from None
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{manifest}: does not name an int8 {model} and its SHA-256; `git checkout {folder}` restores it"
        ) from None
    path = folder / str(name)
    if not path.is_file():
        raise UserError(f"{path}: not found, but {manifest} names it; `git checkout {folder}` restores it")
    if file_hash(path) != expected:
        raise UserError(
            f"{path}: is not what {manifest} says (its SHA-256 differs); `git checkout {folder}` restores it"
        )
    return path
