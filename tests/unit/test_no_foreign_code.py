"""Nothing that is read, downloaded or sent can bring code that runs: no eval, no pickles, no shell, no unpacking to the disk."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ["src", "stages", "benchmarks", ".github", "frontend/e2e", "frontend/make_examples.py"]
SOURCES = sorted(
    path
    for folder in FOLDERS
    for path in ([ROOT / folder] if (ROOT / folder).is_file() else (ROOT / folder).rglob("*.py"))
)
# What may stand in a file all the same, and why
ALLOWED = {
    ("src/tinycats/__init__.py", "import of a name"): "of the modules that it lists itself",
    ("src/tinycats/evaluation/inception.py", "import pickle"): "for the name of an error alone, which torch raises",
    (
        "src/tinycats/runtime/compute/job_text.py",
        "import of a name",
    ): "of a module of this package alone, which it checks",
}
MODULES = {
    "pickle", "cPickle", "cloudpickle", "dill", "joblib", "jsonpickle", "marshal", "shelve", "runpy", "pty", "code", "codeop",
}  # fmt: skip
BUILTINS = {"eval", "exec", "compile", "__import__"}
CALLS = {
    "os.system", "os.popen", "os.execv", "subprocess.getoutput", "subprocess.getstatusoutput", "yaml.load", "yaml.load_all",
    "yaml.full_load", "yaml.unsafe_load", "torch.hub.load", "torch.jit.load", "torch.package.PackageImporter",
    "pandas.read_pickle", "pd.read_pickle", "tempfile.mktemp",
}  # fmt: skip
METHODS = {"extractall", "read_pickle"}


def problems(source: str) -> Iterator[str]:
    """What a piece of Python does that could run code, or write files, that somebody else has chosen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (f"import {name}" for name in names if name.split(".")[0] in MODULES)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if name in BUILTINS | CALLS or name.split(".")[-1] in METHODS:
                yield name
            if name == "torch.load" and given.get("weights_only") != "True":
                yield "torch.load without weights_only"
            if given.get("allow_pickle", "False") != "False" or given.get("trust_remote_code", "False") != "False":
                yield f"{name} with pickles or code"
            if given.get("shell", "False") != "False":
                yield f"{name} with a shell"
            if given.get("typ") == "'unsafe'":
                yield f"{name} that makes objects"
            if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
                yield "import of a name"


def test_there_are_sources() -> None:
    assert len(SOURCES) > 150


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_sources_run_no_code_of_others(path: Path) -> None:
    name = path.relative_to(ROOT).as_posix()
    assert [problem for problem in problems(path.read_text()) if (name, problem) not in ALLOWED] == []


def test_every_exception_is_still_needed() -> None:
    for name, problem in ALLOWED:
        assert problem in set(problems((ROOT / name).read_text())), name


@pytest.mark.parametrize(
    "source",
    [
        "eval('1')", "exec(x)", "import pickle", "from pickle import loads", "import a, cloudpickle as c", "torch.load(p)",
        "torch.load(p, weights_only=False)", "np.load(p, allow_pickle=True)", "yaml.load(t)", "subprocess.run(c, shell=True)",
        "os.system(c)", "tar.extractall(p)", "AutoModel.from_pretrained(n, trust_remote_code=True)", "YAML(typ='unsafe')",
        "importlib.import_module(name)", "def f():\n    import joblib",
    ],
)  # fmt: skip
def test_it_is_noticed(source: str) -> None:
    assert list(problems(source))


@pytest.mark.parametrize(
    "source", ["model.eval()", "torch.load(p, weights_only=True)", "np.load(p)", "yaml.safe_load(t)", "re.compile(x)"]
)
def test_what_only_looks_like_it_is_not(source: str) -> None:
    assert not list(problems(source))


def test_neither_does_the_page() -> None:
    forbidden = re.compile(
        r"\beval\(|\bnew Function\b|dangerouslySetInnerHTML|\.innerHTML|document\.write|importScripts\("
    )
    paths = [path for folder in ("src", "build") for path in (ROOT / "frontend" / folder).rglob("*.*s*")]
    assert len(paths) > 60
    found = [
        (path.name, forbidden.findall(path.read_text())) for path in paths if path.suffix in (".ts", ".tsx", ".js")
    ]
    assert [(name, said) for name, said in found if said] == []
