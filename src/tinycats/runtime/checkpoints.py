"""Writes checkpoints in a thread, from a copy, and seldom enough that they cost little of the time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Self

import torch

from tinycats.runtime.run_directory import RunDirectory


class Checkpoints:
    """At least `every_s` apart, and so far that copying and writing take at most `share` of the time."""

    def __init__(self, directory: RunDirectory, every_s: float, share: float) -> None:
        self.directory, self.every_s, self.share = directory, every_s, share
        self.cost_s = 0.0  # of the last one: copying, and writing, for which the training run may have waited
        self.saved_at = time.monotonic()
        self.saved_step: int | None = None
        self._pool = ThreadPoolExecutor(1)
        self._writing: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let the last one be written; where that fails, raise it unless there is an error already."""
        self._pool.shutdown()
        if kind is None:
            self._wait()

    def due(self) -> bool:
        return time.monotonic() - self.saved_at >= max(self.every_s, self.cost_s / self.share)

    def save(self, step: int, checkpoint: Mapping[str, Any], wait: bool) -> None:
        """Write the checkpoint of `step`; with `wait`, it is on the disk on return. Raises what an earlier one failed with."""
        self._wait()
        started = time.monotonic()
        copy = checkpoint if wait else _copied(checkpoint)
        copied_s = time.monotonic() - started

        def write() -> None:
            began = time.monotonic()
            self.directory.save(step, copy)
            self.cost_s = copied_s + time.monotonic() - began
            self.saved_step = step

        self._writing = self._pool.submit(write)
        if wait:
            self._wait()
        self.saved_at = time.monotonic()

    def _wait(self) -> None:
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()


def _copied(part: Any) -> Any:
    """The same, with tensors copied to the CPU: what trains on cannot change them."""
    if isinstance(part, torch.Tensor):
        return part.detach().to("cpu", copy=True)
    if isinstance(part, Mapping):
        return {key: _copied(value) for key, value in part.items()}
    if isinstance(part, list | tuple):
        return type(part)(_copied(value) for value in part)
    return part
