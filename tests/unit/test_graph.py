"""dvc.yaml against the code: what a stage runs is what DVC watches, and nothing more."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from functools import reduce
from graphlib import CycleError, TopologicalSorter
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, Any] = DVC["stages"]
ORDER = [
    "fetch", "preprocess", "train_classifier", "train_dit", "distill", "evaluate", "export_onnx",
    "quantize", "publish",
]  # fmt: skip


SOURCE = ROOT / "src/tinycats"
ROOM = SOURCE / "runtime"  # nothing in it can change a result
# Rooms in the order in which they may import: each from those before it alone
ROOMS = [
    "runtime", "data", "figures", "backbones", "inspection", "sources", "preparing", "learning", "classifier", "generator",
    "distillation",
    "adapters", "evaluation", "export", "verification", "publishing", "releasing", "api", "experiments", "commands", "cli",
]  # fmt: skip


def module_path(name: str, source: Path = SOURCE) -> Path | None:
    base = source.parent / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


def imports(path: Path, source: Path = SOURCE) -> set[Path]:
    """The modules of the project that `path` imports, at the top or inside functions."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        targets = [module_path(name, source) for name in names if name.split(".")[0] == "tinycats"]
        found |= {target for target in targets if target is not None and target.name != "__init__.py"}
    return found


def runs(stage: Path, source: Path = SOURCE) -> set[Path]:
    """All modules outside the room that a stage imports, and what those import."""
    seen, waiting = set(), [stage]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += imports(path, source)
    return {path for path in seen if path != stage and source / "runtime" not in path.parents}


def uncovered(code: set[Path], listed: list[Path]) -> set[Path]:
    """The modules that no listed file or folder covers."""
    return {path for path in code if path not in listed and not set(path.parents) & set(listed)}


def unused(code: set[Path], listed: list[Path]) -> set[Path]:
    """The listed files and folders from which nothing is imported."""
    return {path for path in listed if path not in code and not any(path in module.parents for module in code)}


def foreign(room: Path, source: Path = SOURCE) -> set[tuple[Path, Path]]:
    """Imports of the room's modules from outside the room."""
    return {
        (path, target)
        for path in room.rglob("*.py")
        for target in imports(path, source)
        if room not in target.parents and target != source / "__init__.py"
    }


def listed_code(stage: str) -> list[Path]:
    return [ROOT / dep for dep in STAGES[stage]["deps"] if dep.startswith("src/")]


def outs(stage: str) -> dict[str, dict[str, Any]]:
    listed = [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]
    return dict(next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in listed)


def test_the_stages_are_those_of_the_design() -> None:
    assert list(STAGES) == ORDER


@pytest.mark.parametrize("stage", ORDER)
def test_a_stage_watches_the_code_that_it_runs(stage: str) -> None:
    assert f"stages/{stage}.py" in STAGES[stage]["deps"]
    code, listed = runs(ROOT / f"stages/{stage}.py"), listed_code(stage)
    assert not uncovered(code, listed)
    assert not unused(code, listed)
    assert not [path for path in listed if ROOM in (path, *path.parents)]


@pytest.mark.parametrize("stage", ORDER)
def test_a_stage_that_uses_part_of_a_folder_lists_files(stage: str) -> None:
    code = runs(ROOT / f"stages/{stage}.py")
    for folder in (path for path in listed_code(stage) if path.is_dir()):
        assert {path for path in folder.rglob("*.py") if path.name != "__init__.py"} <= code, folder


def test_the_room_imports_nothing_outside_itself() -> None:
    assert not foreign(ROOM)


def test_the_three_checks_fail_where_they_should(tmp_path: Path) -> None:
    source = tmp_path / "tinycats"
    for name, content in {
        "runtime/errors.py": "",
        "runtime/broken.py": "from tinycats.data.raw import read",
        "data/raw.py": "from tinycats.runtime import errors",
        "data/other.py": "",
        "learning/loop.py": "def late():\n    from tinycats.data import raw",
        "stage.py": "import tinycats.learning.loop",
    }.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    raw, loop = source / "data/raw.py", source / "learning/loop.py"
    code = runs(source / "stage.py", source)
    assert code == {raw, loop}  # also what is imported late; nothing of the room
    assert uncovered(code, [loop]) == {raw}
    assert not uncovered(code, [source / "data", source / "learning"])
    assert unused(code, [source / "data", loop, source / "data/other.py"]) == {source / "data/other.py"}
    assert foreign(source / "runtime", source) == {(source / "runtime/broken.py", raw)}


def test_imports_run_one_way() -> None:
    order = {name: number for number, name in enumerate(ROOMS)}

    def room(path: Path) -> str:
        return path.relative_to(SOURCE).parts[0].removesuffix(".py")

    modules = [path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py"]
    assert {room(path) for path in modules} == set(ROOMS)
    for path in modules:
        for target in imports(path):
            assert order[room(target)] <= order[room(path)], (path, target)


def test_no_modules_import_each_other_in_a_circle() -> None:
    sorter = TopologicalSorter({path: imports(path) for path in SOURCE.rglob("*.py")})
    sorter.prepare()  # raises CycleError
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


def test_packages_hold_no_code_of_their_own() -> None:
    """A package's __init__.py runs with every module in it, and is among no stage's deps. The first one names what it offers."""
    for path in (ROOT / "src").rglob("__init__.py"):
        if path != SOURCE / "__init__.py":
            assert all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body), path


def test_importing_the_package_imports_nothing_else_of_it() -> None:
    """Its names come when they are asked for: what a stage does not import cannot change what it makes."""
    code = "import sys, tinycats; print([name for name in sys.modules if name.startswith(('tinycats.', 'torch', 'numpy'))])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize("stage", ORDER)
def test_what_cannot_change_a_result_invalidates_nothing(stage: str) -> None:
    assert not [key for key in STAGES[stage]["params"] if key.split(".")[0] in ("compute", "logging", "monitor")]
    assert not {"always_changed", "frozen"} & set(STAGES[stage])
    assert not any("persist" in options for options in outs(stage).values())


@pytest.mark.parametrize("stage", ORDER)
def test_metrics_are_in_git_and_all_else_in_the_cache(stage: str) -> None:
    for path, options in outs(stage).items():
        assert (options.get("cache") is False) == path.startswith("metrics/"), path


def test_every_metric_and_plot_is_made_by_a_stage() -> None:
    made = [Path(path) for stage in ORDER for path in outs(stage)]
    shown = [Path(path) for path in DVC["metrics"]]
    for plot in DVC["plots"]:
        if isinstance(plot, str):
            shown.append(Path(plot))
        else:
            options = next(iter(plot.values()))
            shown += [Path(path) for path in options["y"]]
    for path in shown:
        assert any(path == out or out in path.parents for out in made), path


@pytest.mark.parametrize("stage", ORDER)
def test_every_stage_has_a_run_cache(stage: str) -> None:
    """DVC keeps none for a stage that has outs outside the cache which are neither metrics nor plots."""
    assert not [out for out in STAGES[stage].get("outs", []) if isinstance(out, dict)]


def test_clock_readings_are_kept_apart() -> None:
    assert not [path for path in DVC["metrics"] if "timing" in path]


LOCK: dict[str, Any] = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
PARAMS: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())


def dvc_hash(path: Path) -> str:
    """The md5 of a file, or DVC's of a folder: of the list of its files, without bytecode (.dvcignore)."""
    if path.is_file():
        return hashlib.md5(path.read_bytes()).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    entries = [
        {"md5": hashlib.md5(file.read_bytes()).hexdigest(), "relpath": file.relative_to(path).as_posix()}
        for file in files
    ]
    return hashlib.md5(json.dumps(sorted(entries, key=itemgetter("relpath"))).encode()).hexdigest() + ".dir"


def test_the_lock_has_the_stages_of_the_graph_alone() -> None:
    assert sorted(LOCK) == sorted(ORDER)


@pytest.mark.parametrize("stage", ORDER)
def test_the_lock_is_of_this_code_and_these_params(stage: str) -> None:
    """dvc.lock and metrics/ must come from a run of the code that is committed with them."""
    values = {"${data.watch}": PARAMS["data"]["watch"], "${dit.view}": PARAMS["dit"]["view"]}
    listed = {reduce(lambda dep, pair: dep.replace(*pair), values.items(), dep) for dep in STAGES[stage]["deps"]}
    assert {dep["path"] for dep in LOCK[stage]["deps"]} == listed
    for dep in LOCK[stage]["deps"]:
        path = ROOT / dep["path"]
        if (
            dep["path"].startswith("src/")
            or path.suffix in (".py", ".yaml")
            or (dep["path"].startswith("metrics/") and path.is_file())
        ):
            assert dvc_hash(path) == dep["md5"], dep["path"]
    locked_params = LOCK[stage].get("params", {}).get("params.yaml", {})
    assert set(locked_params) == set(STAGES[stage]["params"])
    for key, locked in LOCK[stage].get("params", {}).get("params.yaml", {}).items():
        value: Any = PARAMS
        for name in key.split("."):
            value = value[name]
        assert value == locked, key


@pytest.mark.parametrize("stage", ORDER)
def test_the_committed_metrics_are_those_of_the_lock(stage: str) -> None:
    for out in LOCK[stage]["outs"]:
        path = ROOT / out["path"]
        if out["path"].startswith("metrics/") and path.is_file():
            assert hashlib.md5(path.read_bytes()).hexdigest() == out["md5"], out["path"]
