"""What `dvc plots` draws of a run: everything once, with a title and axes, and first what a person looks for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from tests.conftest import ROOT
from tests.pipeline.conftest import Project

DVC: dict[str, Any] = yaml.safe_load((ROOT / "dvc.yaml").read_text())
NAMED = [
    "confusion",
    "accuracy by class",
    "calibration",
    "classifier loss",
    "classifier accuracy",
    "generator loss",
    "generator validation error",
    "student against teacher",
    "distance to the nearest training image, in features",
    "distance to the nearest training image, in pixels",
]
EVALUATED = ("student", "samples", "few_steps", "confusion", "mistakes", "nearest")  # in the order of the page


def shown(text: str) -> dict[str, list[dict[str, Any]]]:
    content = json.loads(text)
    assert "errors" not in content
    return content["data"]


def encodings(content: Any) -> Iterator[dict[str, Any]]:
    """Of all layers and facets of a plot."""
    if isinstance(content, dict):
        if isinstance(content.get("encoding"), dict):
            yield content["encoding"]
        for key, value in content.items():
            if key != "data":
                yield from encodings(value)
    elif isinstance(content, list):
        for value in content:
            yield from encodings(value)


def titles(content: dict[str, Any], axis: str) -> set[str]:
    return {
        encoding[axis]["title"] for encoding in encodings(content) if axis in encoding and encoding[axis].get("title")
    }


def check_plots(plots: dict[str, list[dict[str, Any]]]) -> None:
    definitions = {name: options for plot in DVC["plots"] for name, options in plot.items()}
    assert list(definitions) == NAMED
    assert list(plots)[: len(NAMED)] == NAMED
    images = list(plots)[len(NAMED) :]
    assert images
    assert all(name.endswith(".png") for name in images), images  # no file that curves are drawn from is drawn again
    drawn: list[tuple[str, str]] = []
    for name in NAMED:
        (plot,) = plots[name]
        content, options = plot["content"], definitions[name]
        assert content["title"]["text"] == options["title"]
        assert options["x_label"] in titles(content, "x"), name
        assert options["y_label"] in titles(content, "y"), name
        rows = content["data"]["values"]
        ((path, fields),) = options["y"].items()
        for field in [fields] if isinstance(fields, str) else fields:
            drawn.append((path, field))
            points = [row for row in rows if row.get(field) is not None and row.get(options["x"]) is not None]
            assert points, (name, field)
    assert len(drawn) == len(set(drawn))
    for name in images:
        assert plots[name][0]["url"], name
    assert {f"metrics/evaluate/{name}.png" for name in EVALUATED} < set(images)


def test_every_plot_is_drawn_once_with_a_title_and_axes(reproduced: Project, tmp_path) -> None:
    plots = shown(reproduced.run("dvc", "plots", "show", "--json", "--out", str(tmp_path)).stdout)
    check_plots(plots)
    assert "metrics/data/classes.png" in plots
    for run, image in (
        ("classifier", "confusion_val"),
        ("generator", "samples_0000040"),
        ("distill", "samples_0000020"),
    ):
        assert f"metrics/{run}/plots/images/{image}.png" in plots


def test_two_revisions_are_drawn_side_by_side(reproduced: Project, tmp_path) -> None:
    """What the extension of VS Code asks for."""
    plots = shown(
        reproduced.run("dvc", "plots", "diff", "HEAD", "workspace", "--json", "--split", "--out", str(tmp_path)).stdout
    )
    assert list(plots)[: len(NAMED)] == NAMED
    for name, parts in plots.items():
        assert [revision for part in parts for revision in part["revisions"]] == ["workspace", "HEAD"], name


def test_lists_are_no_metrics(reproduced: Project) -> None:
    """Curves and matrices are outs of their stages as metrics are, and have a run cache."""
    (rows,) = json.loads(reproduced.run("dvc", "metrics", "show", "--json").stdout).values()
    metrics = {path: content["data"] for path, content in rows["data"].items()}
    for path in ("metrics/evaluate/confusion.json", "metrics/generator/train.json", "metrics/findings.json"):
        assert metrics[path] == {}, path
    assert metrics["metrics/evaluate.json"]["classifier"]["top1"] >= 0


def test_the_page_begins_with_what_was_made(reproduced: Project, tmp_path) -> None:
    reproduced.run("dvc", "plots", "show", "--out", str(tmp_path / "page"))
    page = (tmp_path / "page/index.html").read_text()
    order = dict(re.findall(r"#(\S+) { order: (-\d+); }", page))
    first = sorted(order, key=lambda name: int(order[name]))
    assert first == [f"metrics_evaluate_{name}_png" for name in EVALUATED]
    ids = re.findall(r'id *= *"([^"]+)"', page)
    assert set(first) < set(ids)
    assert len(ids) == len(set(ids))
