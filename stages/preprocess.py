"""Stage preprocess: decode, check, deduplicate, split and pack data/raw into data/processed, and report on the data."""

from __future__ import annotations

import time
from pathlib import Path

from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import write_json
from tinycats.runtime.params import load_params


def main() -> None:
    started = time.perf_counter()
    params = load_params(Path("params.yaml"))
    classifier = params.classifier
    sizes = {classifier.image_size, classifier.source_size or classifier.image_size, params.dit.image_size}
    metrics = preprocess(
        Path("data/raw"),
        Path("data/processed"),
        sorted(sizes),
        settings=params.preprocess,
        seed=params.seed,
        report_dir=Path("metrics"),
    )
    seconds = time.perf_counter() - started
    write_json(Path("metrics/preprocess.json"), metrics)
    write_json(
        Path("metrics/timing/preprocess.json"),
        {"seconds": seconds, "images_per_second": metrics["read"] / seconds},
    )
    left_out = metrics["read"] - metrics["kept"]
    print(f"kept {metrics['kept']} images, left {left_out} out (metrics/preprocess.json says which and why)")
    print("what is wrong with the rest: `tinycats data`, metrics/data/")


if __name__ == "__main__":
    with one_line_errors():
        main()
