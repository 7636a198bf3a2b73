"""preprocess, compared with decoding the same files with Pillow alone on all cores.

    python benchmarks/preprocessing.py data/raw        # of a run with real photos: dvc repro fetch

Writes benchmarks/results/preprocessing.json.
"""

from __future__ import annotations

import argparse
import io
import multiprocessing
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

from PIL import Image

from machine import machine, seconds, write_tables
from tinycats.data.raw import read_raw
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.parallel import cores
from training import composed

SIZES = (112, 64)


def decode(content: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.load()
    return image.size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("raw", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    arguments = parser.parse_args()
    before, params = machine(), composed()
    settings = params.preprocess.model_copy(update={"min_side_px": 1, "other_class": None})
    contents = [image.content for image in read_raw(arguments.raw)]
    alone, whole = [], []
    for _ in range(arguments.runs):  # in turn, so that a slow minute of the machine meets both
        with multiprocessing.get_context("fork").Pool(cores()) as pool:
            alone.append(seconds(partial(pool.map, decode, contents, chunksize=32)))
        with tempfile.TemporaryDirectory() as scratch:
            out = Path(scratch) / "out"
            whole.append(seconds(partial(preprocess, arguments.raw, out, SIZES, settings, params.seed)))
    rates = [len(contents) / median(times) for times in (alone, whole)]
    rows = [
        ["Pillow alone", f"{rates[0]:.0f}", "1.00"],
        ["preprocess", f"{rates[1]:.0f}", f"{rates[1] / rates[0]:.2f}"],
    ]
    head = [f"{len(contents)} photos, {cores()} cores", "photos a second", "times Pillow alone"]
    notes = (
        f"Median of {arguments.runs} runs in turn. preprocess also reads the tar, resizes to {SIZES[0]} and {SIZES[1]} px, "
        "looks for duplicates, splits and writes; starting its worker processes is counted, starting those of the peer is not."
    )
    write_tables("preprocessing", before, notes, [{"head": head, "rows": rows}])


if __name__ == "__main__":
    main()
