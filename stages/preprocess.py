"""Stage preprocess: decode, check, deduplicate, split and pack data/raw into data/processed."""

from __future__ import annotations

import time
from pathlib import Path

from tinycats.data.preprocess import preprocess
from tinycats.errors import one_line_errors
from tinycats.files import write_json
from tinycats.params import load_params


def main() -> None:
    started = time.perf_counter()
    params = load_params(Path("params.yaml"))
    metrics = preprocess(
        raw_dir=Path("data/raw"),
        out_dir=Path("data/processed"),
        sizes=sorted(params.classifier.sizes | {params.dit.image_size}),
        val_fraction=params.preprocess.val_fraction,
        test_fraction=params.preprocess.test_fraction,
        min_side_px=params.preprocess.min_side_px,
        max_pixels=params.preprocess.max_pixels,
        max_bad_fraction=params.preprocess.max_bad_fraction,
        seed=params.seed,
        other_class=params.data.other_class,
        fit=params.preprocess.fit,
    )
    seconds = time.perf_counter() - started
    write_json(Path("metrics/preprocess.json"), metrics)
    write_json(
        Path("metrics/timing/preprocess.json"),
        {"seconds": seconds, "images_per_second": metrics["read"] / seconds},
    )
    left_out = metrics["read"] - metrics["kept"]
    print(f"kept {metrics['kept']} pictures, left {left_out} out (metrics/preprocess.json says which and why)")


if __name__ == "__main__":
    with one_line_errors():
        main()
