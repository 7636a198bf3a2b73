"""Evaluate the classifier and the generator on the test split: metrics, plots, timings."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from tinycats.data.processed import load_classes, load_split
from tinycats.devices import autocast, resolve_device, resolve_dtype
from tinycats.errors import UserError
from tinycats.evaluation import intervals
from tinycats.evaluation.classification import classification_metrics, confidence_metrics
from tinycats.evaluation.copying import copying_metrics, nearer, nearest
from tinycats.evaluation.distribution import TooFewPicturesError, frechet_distance, precision_and_recall
from tinycats.evaluation.inception import InceptionUnavailableError, inception_metrics, load_inception
from tinycats.evaluation.inference import evaluator_features, generate, noise_pictures, predict, predict_unscaled
from tinycats.evaluation.latency import measure_latency
from tinycats.evaluation.plots import write_classifier_plots, write_copying_plots, write_generator_plots
from tinycats.files import atomic_directory, write_json
from tinycats.models.classifier import Classifier
from tinycats.models.evaluator import Evaluator
from tinycats.models.sampler import SamplerSettings, initial_noise, sample
from tinycats.models.tinydit import TinyDiT, one_hot_classes

LATENCY_BATCH_SIZE = 16

log = logging.getLogger(__name__)


def evaluate(
    *,
    processed_dir: Path,
    classifier_dir: Path,
    evaluator_dir: Path,
    generator_dir: Path,
    metrics_path: Path,
    plots_dir: Path,
    timing_path: Path,
    sampler: SamplerSettings,
    samples_per_class: int,
    neighbours: int,
    bootstrap: int,
    inception: bool,
    latency_runs: int,
    seed: int,
    device: Literal["auto", "cpu", "cuda"],
) -> None:
    """Write metrics_path (JSON of numbers), plots_dir (CSV files and pictures) and timing_path (JSON, clock readings).

    A metric that cannot be had (too few pictures, no Inception weights) is absent, and a warning says why. Raises
    UserError where a model or the data is missing, is damaged, or the models and the data have different classes.
    """
    target = resolve_device(device)
    classes, other = load_classes(processed_dir)
    classifier = Classifier.from_pretrained(classifier_dir).to(target)
    evaluator = Evaluator.from_pretrained(evaluator_dir).to(target)
    generator = TinyDiT.from_pretrained(generator_dir).to(target)
    for directory, config in ((classifier_dir, classifier.config), (generator_dir, generator.config)):
        if config.classes != classes:
            raise UserError(f"{directory}: was trained on other classes than those of {processed_dir}; train it again")
    test_for_classifier = load_split(processed_dir, "test", classifier.config.image_size)
    train, test = (load_split(processed_dir, split, generator.config.image_size) for split in ("train", "test"))

    if not len(test.labels):
        raise UserError(
            f"{processed_dir}: the test split has no pictures; raise preprocess.test_fraction or add pictures"
        )

    # First, so that the peak memory is that of the models and not of the metrics.
    timing = {
        "classifier": _classifier_latency(classifier, test_for_classifier.images, latency_runs, target),
        "generator": _generator_latency(generator, sampler, latency_runs, seed, target),
    }
    probabilities = predict(classifier, test_for_classifier.images, target)
    labels = np.repeat(np.arange(len(classes)), samples_per_class)
    pictures = generate(generator, labels, sampler, seed, target)
    features = {
        "train": evaluator_features(evaluator, train.images, target),
        "test": evaluator_features(evaluator, test.images, target),
        "generated": evaluator_features(evaluator, pictures, target),
        "noise": evaluator_features(evaluator, noise_pictures(seed, len(pictures), pictures.shape[1]), target),
    }
    nearest_training = {
        "features": {
            name: nearer(nearest(features[name], features["train"]), nearest(mirrored, features["train"]))
            for name, mirrored in (
                ("generated", evaluator_features(evaluator, pictures[:, :, ::-1], target)),
                ("test", evaluator_features(evaluator, test.images[:, :, ::-1], target)),
            )
        },
        "pixels": {
            name: nearer(nearest(images, train.images), nearest(images[:, :, ::-1], train.images))
            for name, images in (("generated", pictures), ("test", test.images))
        },
    }
    unscaled = predict_unscaled(classifier, test_for_classifier.images, target)
    asked = predict(classifier, pictures, target).argmax(axis=1) == labels
    metrics: dict[str, Any] = {
        "classifier": {
            **classification_metrics(probabilities, test_for_classifier.labels, classes, other),
            **confidence_metrics(
                probabilities, unscaled, test_for_classifier.labels, classifier.config.reject_threshold
            ),
        },
        "generator": {
            "n_generated": len(pictures),
            "n_real": len(test.images),
            "n_train": len(train.images),
            **_distribution_metrics(features, neighbours, bootstrap, seed),
            **intervals.share("class_agreement", asked),
            "copying": {
                kind: copying_metrics(found["generated"], found["test"]) for kind, found in nearest_training.items()
            },
        },
    }
    if inception:
        try:
            network = load_inception().to(target)
            metrics["inception"] = inception_metrics(network, test.images, pictures, seed)
        except InceptionUnavailableError as error:
            log.warning("evaluate: no FID, KID and Inception Score: %s", error)

    with atomic_directory(plots_dir) as directory:
        write_classifier_plots(directory, probabilities, test_for_classifier, classes)
        write_generator_plots(directory, pictures, classes)
        write_copying_plots(directory, pictures, labels, train, nearest_training, classes)
    write_json(timing_path, timing)
    write_json(metrics_path, metrics)


def _distribution_metrics(
    features: dict[str, np.ndarray], neighbours: int, bootstrap: int, seed: int
) -> dict[str, float]:
    """FD and KD with intervals, two marks for scale (as many real pictures: the floor; noise: the ceiling), precision, recall."""
    test, generated = features["test"], features["generated"]
    as_many = np.random.default_rng(seed).permutation(len(features["train"]))[: len(generated)]
    computations: dict[str, Callable[[], dict[str, float]]] = {
        "FD-classifier": lambda: {
            **intervals.frechet("fd_classifier", test, generated, bootstrap, seed),
            "fd_classifier_floor": frechet_distance(test, features["train"][as_many]),
            "fd_classifier_noise": frechet_distance(test, features["noise"]),
        },
        "KD-classifier": lambda: intervals.kernel("kd_classifier", test, generated, bootstrap, seed),
        "precision and recall": lambda: precision_and_recall(test, generated, neighbours)._asdict(),
    }
    metrics: dict[str, float] = {}
    for name, compute in computations.items():
        try:
            metrics |= compute()
        except TooFewPicturesError as error:
            log.warning("evaluate: no %s: %s", name, error)
    return metrics


def _classifier_latency(classifier: Classifier, images: np.ndarray, runs: int, device: torch.device) -> dict[str, Any]:
    batch = torch.from_numpy(np.array(images[:LATENCY_BATCH_SIZE])).to(device)
    return {
        "one": measure_latency(lambda: classifier.predict(batch[:1]), 1, runs, device),
        "batch": measure_latency(lambda: classifier.predict(batch), len(batch), runs, device),
    }


def _generator_latency(
    model: TinyDiT, settings: SamplerSettings, runs: int, seed: int, device: torch.device
) -> dict[str, Any]:
    """One picture `runs` times; a batch takes so long that a tenth of the runs must do."""
    noise = initial_noise(seed, range(LATENCY_BATCH_SIZE), model.config.image_size).to(device)
    classes = one_hot_classes([0] * LATENCY_BATCH_SIZE, model.config.num_classes).to(device)

    def run(count: int) -> None:
        with autocast(device, resolve_dtype("auto", device)):
            sample(model, noise[:count], classes[:count], settings)

    return {
        "one": measure_latency(lambda: run(1), 1, runs, device),
        "batch": measure_latency(
            lambda: run(LATENCY_BATCH_SIZE), LATENCY_BATCH_SIZE, max(3, runs // 10), device, warmup_runs=1
        ),
    }
