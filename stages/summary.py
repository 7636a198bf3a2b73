"""What `make repro` prints at the end: the metrics, where to look, what to try next."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tinycats.publishing.figures import figures

METRICS = Path("metrics/evaluate.json")
MODELS = ("classifier", "generator", "student")
LOOK = {
    "student's samples": Path("metrics/evaluate/student.png"),
    "teacher's samples": Path("metrics/evaluate/samples.png"),
    "teacher, student": Path("metrics/evaluate/few_steps.png"),
    "confusion matrix": Path("metrics/evaluate/confusion.png"),
    "published folder": Path("publish"),
}


def metrics_table(metrics: dict[str, Any]) -> Table:
    """The figures of each model with their 95% intervals, without those of single classes, few steps and copying."""
    table = Table("metric", "value", "95% interval", title=f"{METRICS} (all: dvc metrics show)", title_justify="left")
    for path, value, interval in figures({model: metrics[model] for model in MODELS}):
        if len(path) == 2:
            table.add_row(".".join(path), value, interval)
    return table


def main() -> None:
    console = Console()
    console.print(metrics_table(json.loads(METRICS.read_text())))
    plots = subprocess.run(
        [sys.executable, "-m", "dvc", "plots", "show", "--quiet"], capture_output=True, text=True, check=False
    )
    for what, path in LOOK.items():
        print(f"{what + ':':18}{path}" if path.exists() else f"{what + ':':18}missing ({path})")
    print(f"{'plots page:':18}{'dvc_plots/index.html' if plots.returncode == 0 else plots.stderr.strip()}")
    print(
        "try next:         tinycats predict PHOTO.jpg; tinycats generate --class Siamese; dvc exp run -S train.steps=3000"
    )


if __name__ == "__main__":
    main()
