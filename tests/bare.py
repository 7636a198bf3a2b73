"""The environment of the tests: the same on every machine, whoever's it is.

tests/conftest.py calls `clear` as it is imported, before fixtures and libraries read anything; what the tests start inherits it.
Each test then gets a home of its own.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import time
from pathlib import Path

# What is kept is how programs are found and started, what the processor needs, and what the tests are told by their runners
KEPT = ("PATH", "PYTHONPATH", "PYTHONHASHSEED", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES", "TMPDIR", "TINY_PROJECT")
KEPT_PREFIXES = ("OMP_", "OPENBLAS_", "PYTEST_")

GIT_CONFIG = """[user]
    name = Test
    email = test@example.com
[init]
    defaultBranch = main
"""


def clear() -> Path:
    """Leave nothing of the user's in this process's environment; return a directory for homes, removed as the process ends."""
    for name in list(os.environ):
        if name not in KEPT and not name.startswith(KEPT_PREFIXES):
            del os.environ[name]
    directory = Path(tempfile.mkdtemp(prefix="tinycats-tests-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    os.environ |= home_variables(directory / "home") | {
        "GIT_CONFIG_NOSYSTEM": "1",
        "LANG": "C.UTF-8",
        "MPLCONFIGDIR": str(directory / "matplotlib"),  # not in the home of a test: it would list all fonts each time
        "TZ": "UTC",
    }
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, one core each
    os.umask(0o022)
    time.tzset()
    return directory


def home_variables(path: Path) -> dict[str, str]:
    """Make `path`, with nothing but an identity for git in it, and name it as home."""
    path.mkdir()
    (path / ".gitconfig").write_text(GIT_CONFIG)
    return {
        "HOME": str(path),
        "GIT_CONFIG_GLOBAL": str(path / ".gitconfig"),
        "DVC_SITE_CACHE_DIR": str(path / ".cache/dvc-site"),  # else in /var, for all users
        "DVC_SYSTEM_CONFIG_DIR": str(path / ".config/dvc-system"),
    }
