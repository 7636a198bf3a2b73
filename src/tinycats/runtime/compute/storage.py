"""The Volume, as it is seen from outside of a container (its layout: see tinycats.runtime.compute.container).

Who wants to spawn a call claims the next folder of its name first. The service makes a file once: of two that claim at the same
moment one gets the folder, and the other waits for the id of its call.
"""

from __future__ import annotations

import json
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import modal

from tinycats.runtime.compute.calls import CallRecord
from tinycats.runtime.compute.connection import say
from tinycats.runtime.compute.contents import Contents, digest
from tinycats.runtime.track import progress

CLAIM_S = 60.0  # so long a claim is waited for; between it and its call lies one request
STALE_S = 600.0  # a claim of this age is not waited for: who made it is gone (clocks may differ by less)


def read(volume: modal.Volume, path: str) -> bytes:
    """A small file of the Volume. Raises FileNotFoundError."""
    return b"".join(volume.read_file(path))


def read_object(volume: modal.Volume, path: str) -> dict[str, Any] | None:
    """A JSON object of the Volume; None where there is none."""
    try:
        content = json.loads(read(volume, path))
    except (FileNotFoundError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write(volume: modal.Volume, path: str, content: object, anew: bool = False) -> None:
    """Write JSON. With `anew`, raises FileExistsError where there is such a file."""
    with volume.batch_upload(force=not anew) as batch:
        batch.put_file(BytesIO(json.dumps(content).encode()), path)


def upload(volume: modal.Volume, path: Path, sums: Contents, stage: str) -> None:
    """Bring a file or directory to the Volume, unless it is there."""
    name = f"inputs/{digest(sums)}"
    try:
        read(volume, f"{name}.json")
        return
    except FileNotFoundError:
        pass
    files = {f"{name}/{inside}" if inside else name: path / inside for inside in sums}
    say(stage, f"uploads {path} ({sum(file.stat().st_size for file in files.values()) / 1e6:.1f} MB)")
    with progress(f"{stage}: uploading {path}"), volume.batch_upload(force=True) as batch:
        for target, file in files.items():
            batch.put_file(file, target)
    write(volume, f"{name}.json", sums)  # now it is whole


def folder(name: str, number: int) -> str:
    """The folder of a call: the calls of a name are counted."""
    return f"calls/{name}/{number}"


def count_claims(volume: modal.Volume, name: str) -> int:
    """How many calls of the name somebody has claimed so far."""
    number = 0
    while True:
        try:
            read(volume, f"{folder(name, number + 1)}/claim.json")
        except FileNotFoundError:
            return number
        number += 1


def claim(volume: modal.Volume, name: str, number: int, owner: str) -> bool:
    """Claim the call of this number; return whether it is ours."""
    path = f"{folder(name, number)}/claim.json"
    try:
        write(volume, path, {"owner": owner, "at": time.time()}, anew=True)
        return True
    except FileExistsError:  # ours too, where the answer to a first request was lost
        return (read_object(volume, path) or {}).get("owner") == owner


def known_call(volume: modal.Volume, name: str, number: int) -> dict[str, Any] | None:
    """What is on the Volume of the call of this number: what its caller wrote, or else its container; None: nothing yet."""
    place = folder(name, number)
    return read_object(volume, f"{place}/call.json") or read_object(volume, f"{place}/started.json")


def write_call(volume: modal.Volume, record: CallRecord) -> None:
    """Tell others of the call: where this machine is lost, its id is not."""
    write(volume, f"{record.folder}/call.json", record.model_dump())


def wait_for_call(volume: modal.Volume, name: str, number: int) -> dict[str, Any] | None:
    """What is known of the call of this number, when its owner has spawned it; None where that does not happen."""
    begun, waits = time.monotonic(), False
    while (found := known_call(volume, name, number)) is None:
        made = (read_object(volume, f"{folder(name, number)}/claim.json") or {}).get("at", 0.0)
        if time.time() - made > STALE_S or time.monotonic() - begun > CLAIM_S:
            return None
        if not waits:
            say(name, "another command is about to start the same run; waits for it")
            waits = True
        time.sleep(1)
    return found
