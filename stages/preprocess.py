"""Stage preprocess: decode, check, deduplicate, split and pack data/raw into data/processed, and report on the data."""

from __future__ import annotations

from pathlib import Path

from tinycats.preparing.preprocess_job import preprocess_data
from tinycats.runtime.compute.job import Job
from tinycats.runtime.compute.run import run
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import read_json
from tinycats.runtime.params import load_params

SHOWN = 5  # of the images in two classes


def main() -> None:
    params = load_params(Path("params.yaml"))
    classifier, dit = params.classifier, params.dit
    sizes = {classifier.image_size, classifier.source_size or classifier.image_size}
    if dit.view == "photo":
        sizes.add(dit.image_size)
    job = Job(
        stage="preprocess",
        function=preprocess_data,
        inputs={"raw_dir": Path("data/raw")},
        outputs={
            "output_dir": Path("data/processed"),
            "report_path": Path("metrics/data.json"),
            "findings_path": Path("metrics/findings.json"),
            "plots_dir": Path("metrics/data"),
            "metrics_path": Path("metrics/preprocess.json"),
            "timing_path": Path("metrics/timing/preprocess.json"),
        },
        checks={
            "report_path": read_json,
            "findings_path": read_json,
            "metrics_path": read_json,
            "timing_path": read_json,
        },
        state=Path(".tinycats"),
        arguments={
            "sizes": sorted(sizes),
            "settings": params.preprocess,
            "seed": params.seed,
            "face_size": dit.image_size,
        },
    )
    run(params.compute, job)
    metrics = read_json(Path("metrics/preprocess.json"))
    left_out = metrics["read"] - metrics["kept"]
    print(f"kept {metrics['kept']} images, left {left_out} out (metrics/preprocess.json says which and why)")
    if faces := metrics.get("faces"):
        found = f"{faces['found']} of {faces['searched']} photos"
        print(f"faces of {len(faces['classes'])} classes in {found} (metrics/data/faces.png)")
    for pair in metrics.get("label_conflicts", [])[:SHOWN]:
        print(f"the same image in two classes: {pair['name']} (stays, as {pair['class']!r}) and {pair['same_as']}")
    if (more := len(metrics.get("label_conflicts", [])) - SHOWN) > 0:
        print(f"and {more} more in two classes (metrics/preprocess.json)")
    print("what is wrong with the rest: `tinycats data`, metrics/data/")


if __name__ == "__main__":
    with one_line_errors():
        main()
