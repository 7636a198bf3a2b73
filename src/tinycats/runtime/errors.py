"""The one error type that people see as a single line."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """What was wrong, where, and what would be right, in one line."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its kind where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _meant(path: str) -> str:
    """The file or directory that was to be written, of one that files.py calls otherwise while it is not whole."""
    return re.sub(r"\.([^/]+)\.[0-9a-f]{16}\.tmp(?=/|$)", r"\1", path)


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn UserError and OSError (disk full, no permission) into one line on stderr and exit code 1.

    What the terminal's encoding lacks is printed as an escape: no name of a file ends a command.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        yield
    except UserError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        where = f" ({_meant(str(error.filename))})" if error.filename else ""
        sys.exit(f"error: {error.strerror or error}{where}")
