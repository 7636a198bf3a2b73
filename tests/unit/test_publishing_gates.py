from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from tinycats.publishing.gates import check_gates
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import Gate

ROOT = Path(__file__).resolve().parents[2]
METRIC = "evaluate.generator.class_agreement"


def gate(metric: str, bound: float, direction: str) -> Gate:
    return Gate.model_validate({"metric": metric, "bound": bound, "direction": direction})


def metrics(directory: Path, value: object, file: str = "evaluate") -> Path:
    content = {"generator": {"class_agreement": value}}
    (directory / f"{file}.json").write_text(json.dumps(content))  # json writes NaN and Infinity, as careless code does
    return directory


@pytest.mark.parametrize(
    ("value", "bound", "direction"), [(0.85, 0.85, "min"), (0.9, 0.85, "min"), (3.5, 3.5, "max"), (0, 3.5, "max")]
)
def test_at_the_bound_and_better_passes(tmp_path: Path, value: float, bound: float, direction: str) -> None:
    result = check_gates([gate(METRIC, bound, direction)], metrics(tmp_path, value))
    assert result == {METRIC: {"value": value, "bound": bound, "passed": True}}


@pytest.mark.parametrize(
    ("value", "bound", "direction", "words"),
    [
        (0.8499, 0.85, "min", f"{METRIC} is 0.8499, must be at least 0.85"),
        (3.6, 3.5, "max", f"{METRIC} is 3.6, must be at most 3.5"),
        (float("nan"), 0.85, "min", f"{METRIC} is nan, must be at least 0.85"),
        (float("nan"), 3.5, "max", f"{METRIC} is nan, must be at most 3.5"),
        (float("inf"), 0.85, "min", f"{METRIC} is inf"),
        (float("-inf"), 3.5, "max", f"{METRIC} is -inf"),
        (None, 3.5, "max", f"{METRIC} is not a number"),
        (True, 0.85, "min", f"{METRIC} is not a number"),
        ("0.99", 0.85, "min", f"{METRIC} is not a number"),
        ({"mean": 0.99}, 0.85, "min", f"{METRIC} is not a number"),
    ],
)
def test_everything_else_fails(tmp_path: Path, value: object, bound: float, direction: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_gates([gate(METRIC, bound, direction)], metrics(tmp_path, value))
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "metric",
    [
        "evaluate.generator.fd_efficientnet_lite2",
        "evaluate.generator.class_agreement.deeper",
        "quantize.top1",
        "evaluate",
    ],
)
@pytest.mark.parametrize(("bound", "direction"), [(0.0, "min"), (1e9, "max")])
def test_an_absent_number_passes_no_gate(tmp_path: Path, metric: str, bound: float, direction: str) -> None:
    with pytest.raises(UserError, match=metric):
        check_gates([gate(metric, bound, direction)], metrics(tmp_path, 0.9))


def test_a_file_that_is_no_json_fails(tmp_path: Path) -> None:
    (tmp_path / "evaluate.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        check_gates([gate(METRIC, 0.0, "min")], tmp_path)


@pytest.mark.parametrize("bound", [float("nan"), float("inf"), float("-inf")])
def test_a_bound_must_be_a_number(bound: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        gate(METRIC, bound, "max")


def test_all_failures_in_one_line(tmp_path: Path) -> None:
    gates = [gate(METRIC, 0.85, "min"), gate("export.x", 1.0, "max"), gate(METRIC, 0.1, "min")]
    with pytest.raises(UserError) as caught:
        check_gates(gates, metrics(tmp_path, 0.5))
    message = str(caught.value)
    assert "2 of 3 failed, nothing is published" in message
    assert f"{METRIC} is 0.5, must be at least 0.85" in message
    assert "export.x is missing" in message
    assert "\n" not in message


def test_the_default_gates_stop_noise_and_an_untrained_classifier(tmp_path: Path) -> None:
    gates = [Gate(**content) for content in yaml.safe_load((ROOT / "conf/config.yaml").read_text())["publish"]["gates"]]
    assert {gate.metric.split(".")[1] for gate in gates} >= {"classifier", "generator"}
    # Half right is far more than chance, which is what noise and random weights get.
    chance = {"classifier": {"top1": 0.5}, "generator": {"class_agreement": 0.5}}
    (tmp_path / "evaluate.json").write_text(json.dumps({"evaluate": chance} | chance))
    with pytest.raises(UserError, match=f"{len(gates)} of {len(gates)} failed"):
        check_gates(gates, tmp_path)
