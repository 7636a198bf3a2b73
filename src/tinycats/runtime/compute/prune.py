"""Removes from Modal what is no longer needed: apps of other sources, and what is old on the Volume."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import modal
import modal.exception
import modal.experimental
from modal.types import FileEntryType

from tinycats.runtime.compute.calls import find_records
from tinycats.runtime.compute.connection import ANSWERS, CallEnded, ask, check_token, one_line
from tinycats.runtime.compute.deployment import LOCKS, app_name, is_version
from tinycats.runtime.compute.storage import read
from tinycats.runtime.compute_params import LocalCompute, ModalCompute

DAY_S = 24 * 3600.0
FORGOTTEN_DAYS = 18  # older than eleven attempts of a day, and the week for which Modal keeps what calls return


class Place(NamedTuple):
    """Where calls were made: the beginning of the apps' names, the environment and the Volume."""

    prefix: str
    environment: str | None
    volume: str


def places(root: Path, compute: LocalCompute | ModalCompute) -> list[Place]:
    """Those of the parameters, and of all calls that are known here."""
    found = {Place(record.app.rsplit("-", 1)[0], record.environment, record.volume) for _, record in find_records(root)}
    if isinstance(compute, ModalCompute):
        found.add(Place(compute.app, compute.environment, compute.volume))
    return sorted(found, key=str)


def prune_there(root: Path, place: Place, days: float) -> Iterator[str]:
    """Stop the apps and delete what nobody has changed on the Volume for so many days; yield a line for each.

    What a call needs that runs, or of which Modal does not say that it has ended, stays. Raises UserError where Modal cannot be
    reached.
    """
    check_token()
    with one_line("prune"):
        volume = modal.Volume.from_name(place.volume, environment_name=place.environment)
        changed: dict[str, float] = defaultdict(float)  # when a unit was last changed
        records = [record for _, record in find_records(root) if record.volume == place.volume]
        calls: dict[str, dict[str, Any]] = {record.folder: record.model_dump() for record in records}
        ended: set[str] = set()
        for entry in volume.iterdir("/", recursive=True):
            path = entry.path.strip("/")
            if entry.type == FileEntryType.DIRECTORY or path.count("/") == 0:
                continue
            kind, name, *rest = path.split("/")
            unit = f"{kind}/{name.removesuffix('.json')}"
            changed[unit] = max(changed[unit], entry.mtime)
            if kind == "calls" and rest[1:] in (["call.json"], ["started.json"]):
                calls[f"{unit}/{rest[0]}"] = calls.get(f"{unit}/{rest[0]}", {}) | json.loads(read(volume, path))
            elif kind == "calls" and rest[1:] == ["result.json"]:
                ended.add(f"{unit}/{rest[0]}")
        live = {folder: call for folder, call in calls.items() if folder not in ended and _may_run(call)}
        apps = {call.get("app") for call in live.values()}
        if all((root / lock).exists() for lock in LOCKS):
            apps.add(app_name(place.prefix, root))
        for app in modal.experimental.list_deployed_apps(place.environment or ""):
            if is_version(app.name, place.prefix) and app.name not in apps and not app.containers:
                modal.App.lookup(app.app_id).stop()
                yield f"stopped the app {app.name}"
        for unit, at in sorted(changed.items()):
            if time.time() - at > days * DAY_S and not any(_needs(folder, call, unit) for folder, call in live.items()):
                _remove(volume, unit)
                yield f"deleted {unit} of the Volume {place.volume}"


def _may_run(call: dict[str, Any]) -> bool:
    if call.get("state", "running") != "running":
        return False
    try:
        return ask(call["call_id"], 0) is None
    except CallEnded:
        return False
    except modal.exception.NotFoundError:  # forgotten, or of another workspace
        return time.time() - call.get("spawned_at", 0.0) < FORGOTTEN_DAYS * DAY_S
    except modal.exception.AuthError:
        raise
    except ANSWERS:
        return True


def _needs(folder: str, call: dict[str, Any], unit: str) -> bool:
    """Whether the call that is kept in the folder may need a run, another call's folder or an input."""
    kind, name = unit.split("/")
    if kind == "runs":
        return name.startswith(f"{call.get('stage', '')}-")
    if kind == "inputs":
        return name in call.get("inputs", [name])
    return folder.startswith(f"{unit}/")


def _remove(volume: modal.Volume, unit: str) -> None:
    with suppress(FileNotFoundError):
        volume.remove_file(unit, recursive=True)
    if unit.startswith("inputs/"):
        with suppress(FileNotFoundError):
            volume.remove_file(f"{unit}.json")
