"""What a training run logs: kept with its checkpoints, so that a run that was stopped and resumed shows one whole curve.

The directory of a run's figures holds metrics.json (the last ones), train.json and val.json (curves: rows with a step) and
plots/images, where DVCLive has its images. DVC draws every file in a directory of plots: curves are in files of their own.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from tinycats.runtime.files import write_json, write_rows
from tinycats.runtime.processes import is_main

CURVES_EVERY_S = 2.0
IMAGES = "plots/images"  # below the directory, as DVCLive has it


class Sink(Protocol):
    """Where curves and images go besides DVCLive."""

    def log(self, step: int, scalars: dict[str, float]) -> None: ...

    def log_image(self, step: int, name: str, path: Path) -> None: ...

    def finish(self, summary: dict[str, float | str]) -> None: ...


class LiveSink:
    """A DVCLive directory."""

    def __init__(self, directory: Path) -> None:
        from dvclive import Live  # it may be missing: see _open_directory

        # dvcyaml=None and save_dvc_exp=False: else DVCLive edits dvc.yaml under `dvc repro`
        self._live = Live(str(directory), dvcyaml=None, save_dvc_exp=False, report=None)

    def log(self, step: int, scalars: dict[str, float]) -> None:
        self._live.step = step
        for name, value in scalars.items():
            self._live.log_metric(name, value, plot=False)  # CurvesSink has the curve
        self._live.make_summary()

    def log_image(self, step: int, name: str, path: Path) -> None:
        self._live.log_image(name, str(path))

    def finish(self, summary: dict[str, float | str]) -> None:
        self._live.summary.update(summary)
        self._live.make_summary()
        self._live.end()


class SummarySink:
    """What DVCLive would write to metrics.json, for a machine without DVCLive (benchmarks/gpu.py)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._last: dict[str, float | str] = {}

    def log(self, step: int, scalars: dict[str, float]) -> None:
        self._last |= {**scalars, "step": step}

    def log_image(self, step: int, name: str, path: Path) -> None:
        """As DVCLive does."""
        target = self._directory / IMAGES / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)

    def finish(self, summary: dict[str, float | str]) -> None:
        write_json(self._directory / "metrics.json", self._last | summary)


class CurvesSink:
    """All scalars by step: those of the validation in val.json, the others in train.json."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._rows: dict[str, dict[int, dict[str, float]]] = {"train": {}, "val": {}}
        self._written_at = 0.0
        (directory / IMAGES).mkdir(parents=True, exist_ok=True)

    def log(self, step: int, scalars: dict[str, float]) -> None:
        name = "val" if any(key.startswith("val_") for key in scalars) else "train"
        self._rows[name].setdefault(step, {}).update(scalars)
        if time.monotonic() - self._written_at >= CURVES_EVERY_S:
            self._write()

    def log_image(self, step: int, name: str, path: Path) -> None:
        """Not of its concern."""

    def finish(self, summary: dict[str, float | str]) -> None:
        self._write()

    def _write(self) -> None:
        for name, rows in self._rows.items():
            keys = dict.fromkeys(key for scalars in rows.values() for key in scalars)
            table = [{"step": step, **{key: scalars.get(key) for key in keys}} for step, scalars in rows.items()]
            write_rows(self._directory / f"{name}.json", table)
        self._written_at = time.monotonic()


def _open_directory(directory: Path) -> Sink:
    if importlib.util.find_spec("dvclive") is not None:
        return LiveSink(directory)
    print(f"dvclive is not installed: {directory} is written without it", file=sys.stderr, flush=True)
    return SummarySink(directory)


class History:
    """Scalars and images by step, mirrored by the main process into a DVCLive directory and a further sink.

    `images` is kept in the run directory, since DVC empties the DVCLive directory (an out) before each run.
    """

    def __init__(self, live_directory: Path, images: Path, sink: Sink | None = None) -> None:
        self.records: list[dict[str, float]] = []
        self.image_steps: dict[str, int] = {}
        self.summary: dict[str, float | str] = {}  # that metrics.json holds besides the last scalars
        self.images = images
        self._sinks: list[Sink] = []
        if is_main():
            self._sinks = [_open_directory(live_directory), CurvesSink(live_directory), *([sink] if sink else [])]

    def log(self, step: int, scalars: dict[str, float]) -> None:
        """Log scalars for `step` (optimizer steps done)."""
        self.records.append({"step": step, **scalars})
        self._replay(self.records[-1])

    def log_image(self, step: int, name: str, image: Image.Image) -> None:
        """Log an image under `name` (a PNG file name)."""
        self.image_steps[name] = step
        if is_main():
            self.images.mkdir(parents=True, exist_ok=True)
            image.save(self.images / name)
        self._show(name)

    def state(self) -> dict[str, Any]:
        return {"records": self.records, "image_steps": self.image_steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Show again what was logged up to the saved state; forget what came after it."""
        self.records, self.image_steps = list(state["records"]), dict(state["image_steps"])
        for record in self.records:
            self._replay(record)
        for path in self.images.glob("*.png"):
            if path.name in self.image_steps:
                self._show(path.name)
            elif is_main():
                path.unlink()

    def finish(self, summary: Mapping[str, float | str]) -> None:
        """Write the run's final figures (metrics.json) and close."""
        for sink in self._sinks:
            sink.finish({**self.summary, **summary})

    def _show(self, name: str) -> None:
        for sink in self._sinks:
            sink.log_image(self.image_steps[name], name, self.images / name)

    def _replay(self, record: dict[str, float]) -> None:
        scalars = {name: value for name, value in record.items() if name != "step"}
        for sink in self._sinks:
            sink.log(int(record["step"]), scalars)
