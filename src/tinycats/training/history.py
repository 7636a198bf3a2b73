"""What a training run logs: kept with its state, so that a run that was stopped and continued shows one whole curve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvclive import Live
from PIL import Image


class History:
    """Scalars and pictures by step, mirrored into a DVCLive directory.

    `images` is kept in the run directory, since DVC empties the DVCLive directory (an out) before each run.
    """

    def __init__(self, live_directory: Path, images: Path) -> None:
        self.records: list[dict[str, float]] = []
        self.images = images
        # dvcyaml=None and save_dvc_exp=False: else DVCLive edits dvc.yaml under `dvc repro`
        self._live = Live(str(live_directory), dvcyaml=None, save_dvc_exp=False, report=None)

    def log(self, step: int, scalars: dict[str, float]) -> None:
        """Log scalars for `step` (optimizer steps done)."""
        self.records.append({"step": step, **scalars})
        self._replay(self.records[-1])

    def log_image(self, name: str, image: Image.Image) -> None:
        """Log a picture under `name` (a PNG file name)."""
        self.images.mkdir(parents=True, exist_ok=True)
        image.save(self.images / name)
        self._live.log_image(name, str(self.images / name))

    def state(self) -> dict[str, Any]:
        return {"records": self.records, "images": sorted(path.name for path in self.images.glob("*.png"))}

    def restore(self, state: dict[str, Any]) -> None:
        """Show again what was logged up to the saved state; forget what came after it."""
        self.records = list(state["records"])
        for record in self.records:
            self._replay(record)
        for path in self.images.glob("*.png"):
            if path.name in state["images"]:
                self._live.log_image(path.name, str(path))
            else:
                path.unlink()

    def finish(self, summary: dict[str, float]) -> None:
        """Write the run's final figures (metrics.json) and close."""
        self._live.summary.update(summary)
        self._live.make_summary()
        self._live.end()

    def _replay(self, record: dict[str, float]) -> None:
        self._live.step = int(record["step"])
        for name, value in record.items():
            if name != "step":
                self._live.log_metric(name, value)
        self._live.make_summary()
