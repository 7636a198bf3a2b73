"""What `make repro` says at its end: the metrics, where to look, what to try next."""

import subprocess
import sys
from pathlib import Path

LOOK = {
    "sample grid": Path("metrics/evaluate/samples.png"),
    "teacher, student": Path("metrics/evaluate/few_steps.png"),
    "confusion matrix": Path("metrics/evaluate/confusion.png"),
    "published folder": Path("publish"),
}


def main() -> None:
    subprocess.run([sys.executable, "-m", "dvc", "metrics", "show", "metrics/evaluate.json", "--md"], check=True)
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
