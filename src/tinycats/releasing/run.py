"""Is what lies here all of the one run that dvc.lock records?"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import file_hash
from tinycats.runtime.words import some

LOCK_NAME = "dvc.lock"
PARAMS_NAME = "params.yaml"
PUBLISHED = "publish"  # the stage and its folder
AGAIN = "run `dvc repro` first"


def check_run(root: Path) -> list[Path]:
    """The run's metrics files, metrics/*.json, in `root`.

    Raises UserError where the run was not published, or params.yaml, a metrics file or the published folder is not that of
    the run: a failed gate, for one, leaves new metrics beside the folder of an earlier run.
    """
    locked = _read_yaml(root / LOCK_NAME).get("stages", {})
    now = _read_yaml(root / "dvc.yaml").get("stages", {})  # DVC keeps stages in its lock that are no more
    stages = {name: stage for name, stage in locked.items() if name in now}
    if PUBLISHED not in stages or not (root / PUBLISHED).is_dir():
        raise UserError(f"{root / PUBLISHED}: this run is not published; {AGAIN}")
    _check_params(root / PARAMS_NAME, stages)
    outs = {out["path"]: out["md5"] for stage in stages.values() for out in stage.get("outs", [])}
    read = {dep["path"]: dep["md5"] for dep in stages[PUBLISHED]["deps"]}
    metrics = sorted(path for path in outs if Path(path).parent == Path("metrics") and path.endswith(".json"))
    for path in metrics:
        if not (root / path).is_file() or {file_hash(root / path, "md5")} != {outs[path], read.get(path, outs[path])}:
            raise UserError(f"{root / path}: is not that of the published run; {AGAIN}")
    if _folder_hash(root / PUBLISHED) != outs[PUBLISHED]:
        raise UserError(f"{root / PUBLISHED}: is not what {LOCK_NAME} says; {AGAIN}")
    return [root / path for path in metrics]


def _check_params(path: Path, stages: Mapping[str, Any]) -> None:
    params = _read_yaml(path)
    locked = {
        key: value for stage in stages.values() for key, value in stage.get("params", {}).get(PARAMS_NAME, {}).items()
    }
    missing = object()
    differ = []
    for key, value in sorted(locked.items()):
        here: Any = params
        for name in key.split("."):
            here = here.get(name, missing) if isinstance(here, dict) else missing
        if here != value:
            differ.append(key)
    if differ:
        raise UserError(f"{path}: differs from the published run in {some(differ)}; {AGAIN}")


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; run this from the repository root, after `dvc repro`") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: is empty or no mapping")
    return content


def _folder_hash(folder: Path) -> str:
    """As DVC has it in dvc.lock: the md5 of the list of its files."""
    return hashlib.md5(json.dumps(list(_entries(folder))).encode()).hexdigest() + ".dir"


def _entries(folder: Path) -> Iterator[dict[str, str]]:
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(names):
        yield {"md5": file_hash(names[name], "md5"), "relpath": name}
