"""The name of a job's calls: the same for all that must give the same result, wherever they are made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import FunctionType
from typing import Any

from pydantic import BaseModel

from tinycats.runtime.compute.contents import Contents
from tinycats.runtime.compute.job import Job
from tinycats.runtime.run_settings import RunSettings
from tinycats.runtime.sources import changes_results


def call_name(job: Job, found: Mapping[str, Contents], sources: Mapping[str, str]) -> str:
    """The stage, and a hash of what determines the result: the contents of the inputs by path, the sha256 of the code by module.

    Not how it is run (RunSettings, `device`), nor the code that runs it.
    """
    settings = {"device", *(name for name, value in job.arguments.items() if isinstance(value, RunSettings))}
    arguments = {name: value for name, value in job.arguments.items() if name not in settings}
    code = {name: sha for name, sha in sources.items() if changes_results(name)}
    determines = [job.function.__qualname__, arguments, job.outputs, found, code]
    text = json.dumps(determines, sort_keys=True, default=_plain)
    return f"{job.stage}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _plain(value: object) -> Any:
    if isinstance(value, Path):
        return value.as_posix()
    if isinstance(value, BaseModel):
        return value.model_dump()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, type | FunctionType):
        return f"{value.__module__}.{value.__qualname__}"
    raise TypeError(f"a job's argument cannot be {value!r}: it would not be the same in another process")
