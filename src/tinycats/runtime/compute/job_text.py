"""A job as text, for another machine: data alone, which cannot bring code of its own.

The function is named, and must be one of this package; its arguments are JSON, which pydantic checks against its annotations.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import get_type_hints

from pydantic import TypeAdapter, ValidationError

from tinycats.runtime.compute.job import Job
from tinycats.runtime.errors import UserError, first_line

PACKAGE = "tinycats"


def to_text(job: Job) -> str:
    """The job, but for its checks, which are for who asked for it."""
    kinds = get_type_hints(job.function)
    return json.dumps(
        {
            "stage": job.stage,
            "function": f"{job.function.__module__}:{job.function.__qualname__}",
            "inputs": {name: path.as_posix() for name, path in job.inputs.items()},
            "outputs": {name: path.as_posix() for name, path in job.outputs.items()},
            "arguments": {
                name: TypeAdapter(kinds[name]).dump_python(value, mode="json") for name, value in job.arguments.items()
            },
            "state": job.state.as_posix(),
            "processes": job.processes,
        },
        allow_nan=False,
    )


def from_text(text: str) -> Job:
    """The job that to_text wrote. Raises UserError where it names no job of this package, or arguments that do not fit."""
    try:
        content = json.loads(text)
        function = _function(content["function"])
        kinds = get_type_hints(function)
        arguments = content["arguments"].items()
        return Job(
            stage=content["stage"],
            function=function,
            inputs={name: Path(path) for name, path in content["inputs"].items()},
            outputs={name: Path(path) for name, path in content["outputs"].items()},
            arguments={name: TypeAdapter(kinds[name]).validate_json(json.dumps(value)) for name, value in arguments},
            state=Path(content["state"]),
            processes=content["processes"],
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        reason = (
            str(error.errors(include_url=False)[0]["msg"]) if isinstance(error, ValidationError) else first_line(error)
        )
        raise UserError(f"what is to run is not a job of this code ({reason})") from None


def _function(name: str) -> Callable[..., None]:
    """The public function `module:name` of the package that is defined there. Raises ValueError where there is none."""
    module, _, attribute = name.partition(":")
    if module.split(".")[0] == PACKAGE and attribute.isidentifier() and not attribute.startswith("_"):
        try:
            function = getattr(importlib.import_module(module), attribute, None)
        except ImportError:
            function = None
        if isinstance(function, FunctionType) and function.__module__ == module:
            return function
    raise ValueError(f"no function {name!r}")
