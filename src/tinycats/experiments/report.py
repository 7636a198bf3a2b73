"""experiments.json: what each revision measured, as numbers by name, for the web page.

Nothing is made up: what a revision does not have, or has as NaN, is absent.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from flatten_dict import flatten
from PIL import Image

from tinycats.experiments.better import better
from tinycats.experiments.revisions import METRICS, PARAMS, Revision
from tinycats.runtime.errors import UserError

SCHEMA_VERSION = 1
REPORT_NAME = "experiments.json"
REPAIR = "`dvc repro` writes it again"  # what is in the workspace
STEPPED = re.compile(r"(.+)_(\d+)")  # DVCLive directories hold the images of a step as <series>_<step>.png


@dataclass(frozen=True)
class Written:
    """`images`: how many, each kept once. `left_out`: a line for each file of a commit that could not be read."""

    images: int
    left_out: list[str]


def write_report(revisions: Sequence[Revision], directory: Path) -> Written:
    """Write experiments.json and images/ into the empty `directory`.

    Raises UserError if a file of the workspace is not what its name says. In a commit, where nobody can repair it, such a
    file counts as absent.
    """
    images: dict[str, bytes] = {}
    left_out: list[str] = []
    described = [_describe(revision, images, left_out) for revision in revisions]
    report = {"schema_version": SCHEMA_VERSION, "better": _directions(described), "revisions": described}
    for name, content in images.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    text = json.dumps(report, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    (directory / REPORT_NAME).write_text(text + "\n", encoding="utf-8")
    return Written(len(images), left_out)


def metrics_of(revision: Revision) -> dict[str, dict[str, Any]]:
    """Figures by dotted key, by group: the path of their file without metrics/ and its end. What cannot be read is absent."""
    found = {}
    for path, content in sorted(revision.files.items()):
        if path.startswith(f"{METRICS}/") and path.endswith(".json"):
            try:
                parsed = _parsed(content)
            except ValueError as error:
                if not revision.commit:
                    raise UserError(f"{_unreadable(path, error)}; {REPAIR}") from None
                continue
            if isinstance(parsed, dict):
                found[_group(PurePosixPath(path))] = _figures(_values(parsed))
    return found


def _parsed(content: bytes) -> Any:
    """JSON. Raises ValueError where it is none."""
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _unreadable(path: str, error: Exception) -> str:
    return f"{path}: cannot be read ({' '.join(str(error).split())})"


def _describe(revision: Revision, images: dict[str, bytes], left_out: list[str]) -> dict[str, Any]:
    """One entry of "revisions"; its images are added to `images` by the path they will have."""
    about = {key: getattr(revision, key) for key in ("kind", "commit", "date", "message", "name", "baseline")}
    entry: dict[str, Any] = {key: value for key, value in about.items() if value is not None}
    entry |= {"metrics": {}, "params": {}, "curves": {}, "confusion": {}, "tables": {}, "images": []}
    for path, content in sorted(revision.files.items()):
        try:
            _add(entry, PurePosixPath(path), content, images)
        except (ValueError, KeyError, TypeError, AttributeError, OSError, csv.Error, yaml.YAMLError) as error:
            if not revision.commit:
                raise UserError(f"{_unreadable(path, error)}; {REPAIR}") from None
            left_out.append(f"{revision.commit[:7]}:{_unreadable(path, error)}")
    return entry


def _add(entry: dict[str, Any], path: PurePosixPath, content: bytes, images: dict[str, bytes]) -> None:
    """<run>/metrics.json and <run>/plots/images/<image>.png are DVCLive's.

    Earlier commits have curves as <run>/plots/metrics/<curve>.tsv and tables as CSV.
    """
    if str(path) == PARAMS:
        entry["params"] = _values(yaml.safe_load(content))
        return
    name = path.relative_to(METRICS).with_suffix("").as_posix()
    if path.suffix == ".json":
        parsed = _parsed(content)
        if isinstance(parsed, dict):
            entry["metrics"][_group(path)] = _figures(_values(parsed))
        elif path.stem in ("train", "val"):
            entry["curves"].setdefault(path.parent.name, {}).update(_curves(parsed))
        elif path.stem == "confusion":
            entry["confusion"][name.removesuffix("/confusion")] = _confusion(parsed)
        else:
            columns = list(parsed[0]) if parsed else []
            entry["tables"][name] = {
                "columns": columns,
                "rows": [[row[column] for column in columns] for row in parsed],
            }
    elif path.suffix == ".tsv" and "/plots/metrics/" in name:
        run, curve = name.split("/plots/metrics/")
        entry["curves"].setdefault(run, {})[curve] = _curve(content, path.stem)
    elif path.name == "confusion.csv":
        entry["confusion"][name.removesuffix("/confusion")] = _confusion(
            [{key: _text(cell) for key, cell in row.items()} for row in csv.DictReader(io.StringIO(content.decode()))]
        )
    elif path.suffix == ".csv":
        entry["tables"][name] = _table(content)
    elif path.suffix == ".png":
        entry["images"].append(_image(name.replace("/plots/images/", "/"), content, images))


def _group(path: PurePosixPath) -> str:
    return path.relative_to(METRICS).with_suffix("").as_posix().removesuffix("/metrics")


def _values(content: dict[str, Any]) -> dict[str, Any]:
    """Values by dotted key, without those that JSON does not know; a list is a value."""
    flat: dict[str, Any] = flatten(content, reducer="dot")
    return {key: value for key, value in flat.items() if not isinstance(value, float) or math.isfinite(value)}


def _figures(flat: dict[str, Any]) -> dict[str, Any]:
    """Without null and lists, which are names of files."""
    return {key: value for key, value in flat.items() if value is not None and not isinstance(value, list)}


def _curve(content: bytes, column: str) -> dict[str, list[Any]]:
    """{"step": [...], "value": [...]} of the rows that have both."""
    points = [
        (step, value)
        for row in csv.DictReader(io.StringIO(content.decode()), delimiter="\t")
        if _is_number(step := _value(row["step"])) and _is_number(value := _value(row[column]))
    ]
    return {"step": [step for step, _ in points], "value": [value for _, value in points]}


def _curves(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """By name, as of _curve."""
    names = [name for name in (rows[0] if rows else {}) if name != "step"]
    points = {name: [(row["step"], row[name]) for row in rows if row[name] is not None] for name in names}
    return {
        name: {"step": [step for step, _ in values], "value": [value for _, value in values]}
        for name, values in points.items()
    }


def _confusion(rows: Sequence[dict[str, str]]) -> dict[str, Any]:
    """{"classes": names in the order in which they come, "counts": one row for each actual class}."""
    counts = Counter((row["actual"], row["predicted"]) for row in rows)
    classes = list(dict.fromkeys([*(actual for actual, _ in counts), *(predicted for _, predicted in counts)]))
    return {"classes": classes, "counts": [[counts[actual, guess] for guess in classes] for actual in classes]}


def _table(content: bytes) -> dict[str, Any]:
    header, *rows = csv.reader(io.StringIO(content.decode()))
    numbered = [column not in ("class", "other") for column in header]  # a class may well be called 00
    return {
        "columns": header,
        "rows": [
            [_value(cell) if number else _text(cell) for cell, number in zip(row, numbered, strict=True)]
            for row in rows
        ],
    }


def _text(cell: str) -> str:
    """What was written into a cell of CSV: text that a spreadsheet would compute has an apostrophe before it."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(("=", "+", "-", "@")) else cell


def _image(name: str, content: bytes, images: dict[str, bytes]) -> dict[str, Any]:
    """The page is told the size in pixels, so that it can lay images out before they are loaded."""
    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    path = f"images/{hashlib.sha256(content).hexdigest()[:16]}.png"
    images[path] = content
    match = STEPPED.fullmatch(name)
    series = {"series": match[1], "step": int(match[2])} if match else {"series": name}
    return {**series, "path": path, "width": width, "height": height}


def _value(text: str) -> int | float | str | None:
    """The number that the text is; None if JSON does not know it; else the text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        return number if math.isfinite(number) else None
    return text


def _is_number(value: int | float | str | None) -> bool:
    return isinstance(value, int | float)


def _directions(described: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """By group, for every metric of any revision: "higher" or "lower", where it is known which is better."""
    keys = {(group, key) for one in described for group, values in one["metrics"].items() for key in values}
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for group, key in sorted(keys):
        if direction := better(key):
            found[group][key] = direction
    return found
