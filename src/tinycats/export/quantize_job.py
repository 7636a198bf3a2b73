"""Make the int8 models and measure what they cost: accuracy and Fréchet distance before and after, each with its bound."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinycats.backbones.features import WITHOUT, FrozenFeatures, feature_name, features_of
from tinycats.data.processed import Split, load_split, sampled
from tinycats.data.randomness import generator_for
from tinycats.evaluation.distribution import frechet_distance, labels_in_proportion
from tinycats.evaluation.latency import measure_latency
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.export.quantize import quantize_classifier, quantize_generator
from tinycats.generator.network import one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, to_uint8
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, write_json
from tinycats.runtime.params import QuantizeParams, SamplerSettings
from tinycats.runtime.track import progress

BATCH_SIZE = 32
LATENCY_RUNS = 30
TEST_IMAGES = 4_000  # at most, that the models are compared on
CPU = torch.device("cpu")


def quantize_models(
    *,
    onnx_dir: Path,
    processed_dir: Path,
    view_dir: Path,
    output_dir: Path,
    metrics_path: Path,
    timing_path: Path,
    samplers: Mapping[str, SamplerSettings],
    features: str,
    settings: QuantizeParams,
    seed: int,
) -> None:
    """Write output_dir (the models of onnx_dir in int8), metrics_path and timing_path.

    `processed_dir`: the photos; `view_dir`: the view that the generators learned; `samplers`: how the images of each generator,
    named as its file, are made for the comparison; `features`: the network of timm whose features tell their distance from
    real ones. Raises UserError, and writes nothing, where a model is missing or damaged, where the top-1 accuracy on the test
    split falls by more than settings.max_accuracy_drop, or where the Fréchet distance rises by more than
    settings.max_fd_increase (a fraction of it).
    """
    started = time.perf_counter()
    frozen = FrozenFeatures(features, WITHOUT)
    classifier = OnnxClassifier(onnx_dir / "classifier.onnx")
    generators = {name: OnnxGenerator(onnx_dir / f"{name}.onnx") for name in samplers}
    train = load_split(processed_dir, "train", classifier.config.image_size)
    test = sampled(load_split(processed_dir, "test", classifier.config.image_size), TEST_IMAGES)
    figures: dict[str, dict[str, Any]] = {}
    timing: dict[str, dict[str, Any]] = {}

    with atomic_directory(output_dir) as directory:
        order = torch.randperm(len(train.images), generator=generator_for(seed, "calibration", 0)).numpy()
        calibration = train.images[np.sort(order[: settings.calibration_images])]
        with progress("classifier to int8"):
            quantize_classifier(onnx_dir / "classifier.onnx", directory / "classifier.onnx", calibration)
        classifier8 = OnnxClassifier(directory / "classifier.onnx")
        figures["classifier"] = _compare_classifiers(classifier, classifier8, test)
        _require("classifier", "top1", figures["classifier"], "accuracy_drop", settings.max_accuracy_drop)
        timing["classifier"] = {"before": _classifier_latency(classifier), "after": _classifier_latency(classifier8)}
        real: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # by size in pixels: labels and features of the test images
        for name, generator in generators.items():
            with progress(f"{name} to int8"):
                quantize_generator(onnx_dir / f"{name}.onnx", directory / f"{name}.onnx")
            generator8 = OnnxGenerator(directory / f"{name}.onnx")
            if (size := generator.config.image_size) not in real:
                images = sampled(load_split(view_dir, "test", size), TEST_IMAGES)
                real[size] = images.labels, features_of(frozen, images.images, "test images")
            of_test, real_features = real[size]
            labels = labels_in_proportion(of_test, settings.samples_per_class * generator.config.num_classes)
            figures[name] = _compare_generators(
                generator, generator8, frozen, real_features, labels, samplers[name], seed
            )
            fd = f"fd_{feature_name(features)}"
            _require(name, fd, figures[name], "fd_increase", settings.max_fd_increase)
            timing[name] = {"before": _generator_latency(generator), "after": _generator_latency(generator8)}
        for name, figure in figures.items():
            figure["bytes_before"] = (onnx_dir / f"{name}.onnx").stat().st_size
            figure["bytes_after"] = (directory / f"{name}.onnx").stat().st_size
    write_json(metrics_path, figures)
    write_json(timing_path, {"seconds": time.perf_counter() - started, **timing})


def _compare_classifiers(before: OnnxClassifier, after: OnnxClassifier, test: Split) -> dict[str, Any]:
    """unlike_before and unlike_after: shares of the test images that are "unlike the training images"."""
    (probabilities, distances), (probabilities8, distances8) = (model.predict(test.images) for model in (before, after))
    answers = [p.argmax(axis=1) for p in (probabilities, probabilities8)]
    top1 = [float((answer == test.labels).mean()) for answer in answers]
    figures = {
        "top1_before": top1[0],
        "top1_after": top1[1],
        "accuracy_drop": top1[0] - top1[1],
        "agreement": float((answers[0] == answers[1]).mean()),
        "n": len(test.labels),
    }
    limit = before.config.distance_limit
    if limit is not None:
        figures |= {
            "unlike_before": float((distances > limit).mean()),
            "unlike_after": float((distances8 > limit).mean()),
        }
    return figures


def _compare_generators(
    before: OnnxGenerator,
    after: OnnxGenerator,
    frozen: FrozenFeatures,
    real_features: np.ndarray,
    labels: np.ndarray,
    settings: SamplerSettings,
    seed: int,
) -> dict[str, Any]:
    """`real_features` [N, C]: of the test images."""
    images = [_images(name, model, labels, settings, seed) for name, model in (("fp32", before), ("int8", after))]
    before_fd, after_fd = (
        frechet_distance(real_features, features_of(frozen, made, "generated images")) for made in images
    )
    fd = f"fd_{feature_name(frozen.arch)}"
    return {
        f"{fd}_before": before_fd,
        f"{fd}_after": after_fd,
        "fd_increase": (after_fd - before_fd) / before_fd if before_fd else 0.0,
        "pixel_mean_abs_diff": float(np.abs(images[0].astype(np.int16) - images[1]).mean()),
        "n": len(labels),
        "n_real": len(real_features),
        "sampler_steps": settings.steps,
    }


def _images(name: str, model: OnnxGenerator, labels: np.ndarray, settings: SamplerSettings, seed: int) -> np.ndarray:
    """uint8 [N, S, S, 3], one image for each label; image i starts from noise (seed, i)."""
    weights = one_hot_classes(torch.from_numpy(labels), model.config.num_classes)
    batches = []
    with progress(f"generating images in {name}", len(labels)) as advance:
        for start in range(0, len(labels), BATCH_SIZE):
            rows = range(start, min(start + BATCH_SIZE, len(labels)))
            noise, share = initial_noise(seed, rows, model.config.image_size), len(rows) / settings.steps
            images = sample(
                model, noise, weights[rows.start : rows.stop], settings, on_step=lambda *_, n=share: advance(n)
            )
            if not images.isfinite().all():  # as uint8 they would be black, and pass
                raise UserError(f"quantize: the {name} generator produces values that are not finite")
            batches.append(to_uint8(images))
    return torch.cat(batches).numpy()


def _require(name: str, measure: str, figures: dict[str, Any], key: str, bound: float) -> None:
    if not figures[key] <= bound:
        raise UserError(
            f"quantize: the int8 {name} is too far from the fp32 one: {measure} was {figures[f'{measure}_before']:.4g} "
            f"and is {figures[f'{measure}_after']:.4g} over {figures['n']} images: {key} {figures[key]:.4g}, "
            f"quantize.max_{key} is {bound:g}"
        )


def _classifier_latency(model: OnnxClassifier) -> dict[str, float]:
    image = np.zeros((1, model.config.image_size, model.config.image_size, 3), np.uint8)
    return measure_latency(lambda: model(image), 1, LATENCY_RUNS, CPU)


def _generator_latency(model: OnnxGenerator) -> dict[str, float]:
    """Of one prediction for one image: an image takes `steps` of them, and up to twice as many with guidance."""
    noise = initial_noise(0, [0], model.config.image_size)
    time_zero, weights = torch.zeros(1), one_hot_classes([0], model.config.num_classes)
    return measure_latency(lambda: model(noise, time_zero, time_zero, weights), 1, LATENCY_RUNS, CPU)
