"""How large files from elsewhere may be: each is looked at before it is read, for a few bytes may claim to be a hundred GB.

Who needs more raises the constant.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path

from tinycats.runtime.errors import UserError

MAX_JSON_BYTES = 2**24
MAX_WEIGHTS_BYTES = 2**32
MAX_WEIGHTS_HEADER_BYTES = 2**24  # names and shapes, at the beginning of a safetensors file
MAX_ONNX_BYTES = 2**30
MAX_SEED = 2**63 - 1  # that torch takes; here, since commands must start without pydantic, which params.py needs


def check_size(path: Path, most: int) -> None:
    """Raise UserError where it is no file (a pipe never ends) or has more bytes; FileNotFoundError where there is nothing."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UserError(f"{path}: is no file")
    if found.st_size > most:
        raise UserError(f"{path}: has {found.st_size} bytes; such a file has at most {most}")


def read_small(path: Path) -> bytes:
    """The bytes of a JSON file. Raises as check_size does."""
    check_size(path, MAX_JSON_BYTES)
    return path.read_bytes()


def check_weights(path: Path) -> None:
    """Refuse a safetensors file that is too large, or whose list of tensors is. Raises as check_size does."""
    check_size(path, MAX_WEIGHTS_BYTES)
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
    if MAX_WEIGHTS_HEADER_BYTES < header < path.stat().st_size:  # beyond its own size, safetensors calls it damaged
        raise UserError(f"{path}: names its tensors in {header} bytes, must be at most {MAX_WEIGHTS_HEADER_BYTES}")


def is_stored_whole(path: Path) -> bool:
    """Whether what torch.save has written is as large as it claims to be: torch packs nothing, but reads what is packed."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(info.file_size for info in archive.infolist()) <= path.stat().st_size
    except zipfile.BadZipFile:
        return False
