"""dvc.yaml against the code: what a stage runs is what DVC watches, and nothing more."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES: dict[str, Any] = DVC["stages"]
ORDER = [
    "fetch", "preprocess", "train_classifier", "train_evaluator", "train_dit", "distill", "evaluate", "export_onnx",
    "quantize", "publish",
]  # fmt: skip


def module_path(name: str) -> Path | None:
    base = ROOT / "src" / Path(*name.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.exists()), None)


def imported(path: Path, seen: set[Path]) -> set[Path]:
    """Every module of the project that `path` imports, at the top or inside functions, and what those import."""
    if path in seen:
        return seen
    seen.add(path)
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            target = module_path(name) if name.split(".")[0] == "tinycats" else None
            if target is not None and target.name != "__init__.py":
                imported(target, seen)
    return seen


def outs(stage: str) -> dict[str, dict[str, Any]]:
    listed = [out for kind in ("outs", "metrics", "plots") for out in STAGES[stage].get(kind, [])]
    return dict(next(iter(out.items())) if isinstance(out, dict) else (out, {}) for out in listed)


def test_the_stages_are_those_of_the_design() -> None:
    assert list(STAGES) == ORDER


@pytest.mark.parametrize("stage", ORDER)
def test_a_stage_watches_exactly_the_code_it_runs(stage: str) -> None:
    code = {str(path.relative_to(ROOT)) for path in imported(ROOT / f"stages/{stage}.py", set())}
    watched = {dep for dep in STAGES[stage]["deps"] if dep.endswith(".py")}
    assert watched == code


def test_packages_hold_no_code_of_their_own() -> None:
    """A package's __init__.py runs with every module in it, and is among no stage's deps."""
    for path in (ROOT / "src").rglob("__init__.py"):
        assert all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body), path


@pytest.mark.parametrize("stage", ORDER)
def test_what_cannot_change_a_result_invalidates_nothing(stage: str) -> None:
    assert not [key for key in STAGES[stage]["params"] if key.split(".")[0] in ("compute", "logging")]
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


@pytest.mark.parametrize("stage", ORDER)
def test_the_lock_is_of_this_code_and_these_params(stage: str) -> None:
    """dvc.lock and metrics/ must come from a run of the code that is committed with them."""
    for dep in LOCK[stage]["deps"]:
        path = ROOT / dep["path"]
        if path.suffix in (".py", ".yaml") or (dep["path"].startswith("metrics/") and path.is_file()):
            assert hashlib.md5(path.read_bytes()).hexdigest() == dep["md5"], dep["path"]
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
