"""Export both models to ONNX and prove that they compute the same as the torch models."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from tinycats.data.processed import load_split
from tinycats.export.golden import golden_difference, golden_run
from tinycats.export.onnx_export import export_classifier, export_generator
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.export.parity import classifier_parity, generator_parity, require_parity
from tinycats.files import atomic_directory, write_json
from tinycats.models.classifier import Classifier
from tinycats.models.sampler import SamplerSettings
from tinycats.models.tinydit import TinyDiT
from tinycats.randomness import generator_for


def export_models(
    *,
    classifier_dir: Path,
    generator_dir: Path,
    processed_dir: Path,
    output_dir: Path,
    metrics_path: Path,
    timing_path: Path,
    sampler: SamplerSettings,
    opset: int,
    parity_images: int,
    classifier_tolerance: float,
    generator_tolerance: float,
    seed: int,
) -> None:
    """Write output_dir (classifier.onnx, generator.onnx, golden.json), metrics_path and timing_path.

    Raises UserError, and writes nothing, where a model is missing or damaged or the parity on `parity_images` pictures
    of the test split is past its tolerance.
    """
    started = time.perf_counter()
    classifier, generator = Classifier.from_pretrained(classifier_dir), TinyDiT.from_pretrained(generator_dir)
    pictures = load_split(processed_dir, "test", classifier.config.image_size)
    clean = load_split(processed_dir, "test", generator.config.image_size)
    order = torch.randperm(len(pictures.images), generator=generator_for(seed, "parity", 0)).numpy()
    rows = order[:parity_images]

    with atomic_directory(output_dir) as directory:
        paths = {name: directory / f"{name}.onnx" for name in ("classifier", "generator")}
        export_classifier(classifier, paths["classifier"], opset)
        export_generator(generator, paths["generator"], opset)
        exported_generator = OnnxGenerator(paths["generator"])
        metrics = {
            "classifier": classifier_parity(classifier, OnnxClassifier(paths["classifier"]), pictures.images[rows]),
            "generator": generator_parity(generator, exported_generator, clean.images[rows], clean.labels[rows], seed),
        }
        for name, tolerance in (("classifier", classifier_tolerance), ("generator", generator_tolerance)):
            require_parity(name, metrics[name], tolerance)
            metrics[name]["bytes"] = paths[name].stat().st_size
        golden = golden_run(generator, sampler, seed)
        write_json(directory / "golden.json", golden)
        metrics["golden"] = golden_difference(golden, exported_generator)
    write_json(metrics_path, metrics)
    write_json(timing_path, {"seconds": time.perf_counter() - started})
