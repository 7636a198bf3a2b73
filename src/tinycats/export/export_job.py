"""Export the models to ONNX and prove that they compute the same as the torch models."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinycats.classifier.network import Classifier
from tinycats.data.processed import load_split
from tinycats.data.randomness import generator_for
from tinycats.export.golden import golden_difference, golden_name, golden_run
from tinycats.export.onnx_export import export_classifier, export_generators
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.export.parity import classifier_parity, generator_parity, require_parity
from tinycats.generator.network import TinyDiT
from tinycats.runtime.files import atomic_directory, write_json
from tinycats.runtime.params import ExportParams, SamplerSettings
from tinycats.runtime.track import progress


def export_models(
    *,
    classifier_dir: Path,
    generator_dir: Path,
    student_dir: Path,
    samplers: Mapping[str, SamplerSettings],
    processed_dir: Path,
    view_dir: Path,
    output_dir: Path,
    metrics_path: Path,
    timing_path: Path,
    settings: ExportParams,
    seed: int,
) -> None:
    """Write output_dir (classifier.onnx, and of each generator its .onnx and golden file), metrics_path and timing_path.

    `samplers`: how the generator and the student are sampled; `view_dir`: the view of the data that they learned.
    Raises UserError, and writes nothing, where a model is missing or damaged or the parity on settings.parity_images images of
    the test split is past its tolerance.
    """
    started = time.perf_counter()
    classifier = Classifier.from_pretrained(classifier_dir)
    loaded = {
        "generator": TinyDiT.from_pretrained(generator_dir),
        "student": TinyDiT.from_pretrained(student_dir),
    }
    test = load_split(processed_dir, "test", classifier.config.image_size)
    order = torch.randperm(len(test.images), generator=generator_for(seed, "parity", 0)).numpy()
    rows = order[: settings.parity_images]

    with atomic_directory(output_dir) as directory:
        path = directory / "classifier.onnx"
        with progress("classifier to ONNX"):
            export_classifier(classifier, path, settings.opset)
        parity = classifier_parity(classifier, OnnxClassifier(path), test.images[rows])
        require_parity("classifier", parity, settings.classifier_tolerance)
        metrics: dict[str, Any] = {"classifier": {**parity, "bytes": path.stat().st_size}}
        with progress("generators to ONNX"):
            export_generators({directory / f"{name}.onnx": model for name, model in loaded.items()}, settings.opset)
        for name, model in loaded.items():
            path = directory / f"{name}.onnx"
            exported = OnnxGenerator(path)
            clean = load_split(view_dir, "test", model.config.image_size)
            chosen = order[order < len(clean.labels)][: settings.parity_images]
            parity = generator_parity(model, exported, clean.images[chosen], clean.labels[chosen], seed)
            require_parity(name, parity, settings.generator_tolerance)
            with progress(f"recording a run of the {name}"):
                golden = golden_run(model, samplers[name], seed)
                write_json(directory / golden_name(name), golden)
                difference = golden_difference(golden, exported)
            metrics[name] = {**parity, "bytes": path.stat().st_size, "golden": difference}
    write_json(metrics_path, metrics)
    write_json(timing_path, {"seconds": time.perf_counter() - started})
