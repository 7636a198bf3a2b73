"""Bounds that the metrics must keep, or nothing is published."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tinycats.runtime.errors import UserError
from tinycats.runtime.files import read_json
from tinycats.runtime.params import Gate


def check_gates(gates: Sequence[Gate], metrics_dir: Path) -> dict[str, dict[str, Any]]:
    """Return {metric: {"value", "bound", "passed"}}. A value at its bound passes.

    Raises UserError naming every gate that failed, with value and bound. What is missing or not a finite number fails.
    """
    results: dict[str, dict[str, Any]] = {}
    failures = []
    for gate in gates:
        value = read_metric(gate.metric, metrics_dir)
        if isinstance(value, str):
            failures.append(f"{gate.metric} {value}, must be {_wanted(gate)}")
        elif not (value >= gate.bound if gate.direction == "min" else value <= gate.bound):
            failures.append(f"{gate.metric} is {value:.6g}, must be {_wanted(gate)}")
        results[gate.metric] = {"value": value, "bound": gate.bound, "passed": True}
    if failures:
        raise UserError(
            f"publish.gates: {len(failures)} of {len(gates)} failed, nothing is published: {'; '.join(failures)}"
        )
    return results


def read_metric(metric: str, metrics_dir: Path) -> float | str:
    """The number, or why there is none."""
    file, *keys = metric.split(".")
    path = metrics_dir / f"{file}.json"
    try:
        value = read_json(path)
    except FileNotFoundError:
        return f"is missing ({path} does not exist)"
    except ValueError:
        return f"is missing ({path} is not JSON)"
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            return f"is missing in {path}"
        value = value[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "is not a number"
    return float(value) if math.isfinite(value) else f"is {value}"


def _wanted(gate: Gate) -> str:
    return f"at {'least' if gate.direction == 'min' else 'most'} {gate.bound:g}"
