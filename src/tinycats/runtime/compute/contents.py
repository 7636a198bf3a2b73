"""What is in a file or a directory, as sha256 sums: names inputs on a Volume and proves that outputs came back whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tinycats.runtime.files import file_hash

Contents = dict[str, str]  # sha256 by the path in the directory; the only key of a file is ""


def contents(path: Path) -> Contents:
    """The sums of a file or of all files below a directory. Raises FileNotFoundError where there is neither."""
    if not path.is_dir():
        return {"": file_hash(path)}
    return {file.relative_to(path).as_posix(): file_hash(file) for file in sorted(path.rglob("*")) if file.is_file()}


def digest(found: Contents) -> str:
    """One name for the contents."""
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()[:32]
