"""Files and directories that appear whole or not at all, and directories for what is only needed for a while.

All of them are made under a temporary name and are locked by the process that made them. What a killed process leaves is
deleted when the same is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from tinycats.runtime.errors import UserError
from tinycats.runtime.words import some


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield an empty temporary file next to `path`; on success flush it to disk and rename it to `path`, else delete it."""
    with _temporary(path.parent, f".{path.name}.", Path.touch) as temporary:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)


@contextmanager
def atomic_directory(path: Path) -> Iterator[Path]:
    """Yield an empty temporary directory next to `path`; on success it replaces `path`, else it is deleted."""
    with _temporary(path.parent, f".{path.name}.", Path.mkdir) as temporary:
        yield temporary
        if path.exists():  # renamed first: half of it deleted, it would still look like the whole
            path.rename(old := _temporary_path(path.parent, f".{path.name}."))
            temporary.rename(path)
            shutil.rmtree(old)
        else:
            temporary.rename(path)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """Yield an empty directory in the system's place for temporary files; it is deleted at the end."""
    with _temporary(Path(tempfile.gettempdir()), "tinycats-", Path.mkdir) as temporary:
        yield temporary


def remove_leftovers(path: Path) -> None:
    """Delete what killed processes have left that were writing `path`."""
    _remove_leftovers(path.parent, f".{path.name}.")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Lock a file or directory. Raises BlockingIOError where another process has locked it, OSError where it cannot be locked.

    The lock ends with the process, however that ends.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Whether another process has locked it, as far as that can be known."""
    try:
        with locked(path):
            return False
    except OSError as error:
        return isinstance(error, BlockingIOError)


@contextmanager
def _temporary(parent: Path, prefix: str, make: Callable[[Path], None]) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(parent, prefix)
    with ExitStack() as stack:
        while True:
            path = _temporary_path(parent, prefix)
            stack.callback(_remove, path)  # before it exists: an interrupt may come at any time
            make(path)
            try:
                stack.enter_context(locked(path))
            except (BlockingIOError, FileNotFoundError):
                continue  # another process took it for a leftover
            except OSError:  # no locks in this file system: leftovers stay
                break
            if path.exists():
                break
        yield path


def _temporary_path(parent: Path, prefix: str) -> Path:
    return parent / f"{prefix}{secrets.token_hex(8)}.tmp"


def _remove_leftovers(parent: Path, prefix: str) -> None:
    pattern = re.compile(rf"{re.escape(prefix)}[0-9a-f]{{16}}\.tmp")
    for path in parent.iterdir():
        if pattern.fullmatch(path.name):
            with suppress(OSError), locked(path):  # of a process that still runs, another user, or deleted just now
                _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented JSON, atomically. Raises UserError, naming the keys, on NaN or infinity, which JSON lacks."""
    if wrong := list(_not_finite(content)):
        raise UserError(f"{path}: cannot hold {some(wrong)}: JSON has finite numbers only")
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table as a JSON list of objects, one a line, atomically. What is no finite number is null; numpy's are numbers.

    DVC draws from such a file, and shows nothing of it among the metrics.
    """
    lines = [json.dumps({key: _plain(value) for key, value in row.items()}, ensure_ascii=False) for row in rows]
    with atomic_path(path) as temporary:
        temporary.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _not_finite(content: Any, key: str = "") -> Iterator[str]:
    """The dotted keys of numbers that are NaN or infinite, each with its value."""
    if isinstance(content, float) and not math.isfinite(content):
        yield f"{key} = {content}" if key else str(content)
    elif isinstance(content, dict | list | tuple):
        for name, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from _not_finite(value, f"{key}.{name}" if key else str(name))


def read_json(path: Path) -> Any:
    """The content of a JSON file. Raises ValueError where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of the file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
