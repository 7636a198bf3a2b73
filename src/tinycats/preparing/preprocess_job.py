"""The job of the stage preprocess: the processed data, a report on it, and figures of both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.files import write_json
from tinycats.runtime.params import PreprocessParams


def preprocess_data(
    *,
    raw_dir: Path,
    output_dir: Path,
    report_path: Path,
    findings_path: Path,
    plots_dir: Path,
    metrics_path: Path,
    timing_path: Path,
    sizes: Sequence[int],
    settings: PreprocessParams,
    seed: int,
    face_size: int,
) -> None:
    """Write all that preprocess makes (see there) and returns. The report is data.json, findings.json and data."""
    assert (plots_dir, findings_path) == (report_path.with_suffix(""), report_path.with_name("findings.json"))
    started = time.perf_counter()
    metrics = preprocess(
        raw_dir, output_dir, sizes, settings=settings, seed=seed, report_dir=report_path.parent, face_size=face_size
    )
    seconds = time.perf_counter() - started
    write_json(metrics_path, metrics)
    write_json(timing_path, {"seconds": seconds, "images_per_second": metrics["read"] / seconds})
