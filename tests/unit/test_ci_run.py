"""That .ci/run gives `make test` the environment of somebody who has just arrived."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

MAKE = f"""#!{sys.executable}
import json, os, pathlib, sys
home = pathlib.Path.home()
seen = [sys.argv[1:], os.getcwd(), dict(os.environ), [path.name for path in home.iterdir()]]
(home / "cache").mkdir()
print(json.dumps(seen))
sys.exit(3)
"""


def test_make_test_runs_in_an_empty_home_with_few_variables(home: Path, tmp_path: Path) -> None:
    """And the home is removed, with what is in it; the exit code is that of make."""
    (tmp_path / "make").write_text(MAKE)
    (tmp_path / "make").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    leads = {"PIP_CERT": "a b", "npm_config_cafile": "/x", "https_proxy": "http://127.0.0.1:9", "SSL_CERT_FILE": "/x"}
    users = {
        "AWS_PROFILE": "work",
        "XDG_CACHE_HOME": "/x",
        "GIT_AUTHOR_NAME": "Somebody",
        "PYTHONPATH": "/x",
        "CI": "no",
    }
    done = subprocess.run(
        ["bash", ROOT / ".ci/run"],
        cwd=tmp_path,
        env={**os.environ, **leads, **users, "PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    arguments, directory, environment, held = json.loads(done.stdout)
    assert (arguments, directory, held) == (["test"], str(ROOT), [])
    new = environment.pop("HOME")
    assert new != str(home)
    assert not Path(new).exists()
    assert {name: environment.pop(name) for name in leads} == leads
    environment.pop("LC_CTYPE", None)  # Python's own
    assert environment == {"PATH": path, "LANG": "C.UTF-8", "CI": "true"} | {
        name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")
    }
