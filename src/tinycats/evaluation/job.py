"""Evaluate the classifier, the generator and its student on the test split: metrics, plots, timings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tinycats.backbones.features import WITHOUT, FrozenFeatures, feature_name, features_of
from tinycats.classifier.network import Classifier
from tinycats.data.pixels import as_tensor
from tinycats.data.processed import Split, load_classes, load_split, sampled
from tinycats.evaluation import intervals
from tinycats.evaluation.classification import classification_metrics, confidence_metrics
from tinycats.evaluation.comparison import distances, reference_marks
from tinycats.evaluation.copying import Nearest, copying_metrics, nearer, nearest
from tinycats.evaluation.distribution import labels_in_proportion
from tinycats.evaluation.few_steps import few_step_grid, few_step_ways
from tinycats.evaluation.inception import InceptionUnavailableError, inception_metrics, load_inception
from tinycats.evaluation.inference import generate, noise_images, predict, predict_unscaled
from tinycats.evaluation.latency import fold_norms, measure_latency
from tinycats.evaluation.plots import write_classifier_plots, write_copying_plots
from tinycats.evaluation.unlike import unlike_images, unlike_metrics
from tinycats.figures.sheets import class_grid, save_png
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, student_sampler, teacher_sampler
from tinycats.learning.precision import autocast, resolve_dtype
from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import atomic_directory, write_json
from tinycats.runtime.memory import keep_freed_memory
from tinycats.runtime.params import DeviceName, EvaluateParams, SamplerParams, SamplerSettings
from tinycats.runtime.track import progress

GRID_COLUMNS = 8
# At most: all figures are of samples of larger splits, so that their cost is bounded
TRAINING_IMAGES, TEST_IMAGES = 15_000, 4_000
LATENCY_BATCH_SIZE = 16

log = logging.getLogger(__name__)


def evaluate(
    *,
    processed_dir: Path,
    view_dir: Path,
    classifier_dir: Path,
    generator_dir: Path,
    student_dir: Path,
    metrics_path: Path,
    plots_dir: Path,
    timing_path: Path,
    generator_sampler_path: Path,
    student_sampler_path: Path,
    sampler: SamplerParams,
    settings: EvaluateParams,
    seed: int,
    device: DeviceName,
) -> None:
    """Write metrics_path (JSON of numbers), plots_dir (JSON tables and images) and timing_path (JSON).

    `processed_dir`: the photos; `view_dir`: the view that the generators learned, whose classes may be fewer.
    The generated images have the classes in the proportions of the test split, samples_per_class of each on average.
    Their samplers' settings are written too, for all who make more of them (generator/sampler.py).
    Of larger splits samples of TEST_IMAGES and TRAINING_IMAGES are used, as `images` in the metrics says.
    A metric that is unavailable (too few images, no Inception weights) is absent, and a warning says why. Raises
    UserError where a model or the data is missing, is damaged, or the models and the data have different classes.
    """
    keep_freed_memory()
    target = resolve_device(device)
    teacher_settings, student_settings = teacher_sampler(sampler), student_sampler(sampler.student_steps)
    (classes, _), (generated_classes, _) = load_classes(processed_dir), load_classes(view_dir)
    classifier = Classifier.from_pretrained(classifier_dir).to(target)
    frozen, features_name = FrozenFeatures(settings.features, WITHOUT).to(target), feature_name(settings.features)
    generator, student = (TinyDiT.from_pretrained(path).to(target) for path in (generator_dir, student_dir))
    for directory, model, expected, data in (
        (classifier_dir, classifier, classes, processed_dir),
        (generator_dir, generator, generated_classes, view_dir),
        (student_dir, student, generated_classes, view_dir),
    ):
        if model.config.classes != expected:
            raise UserError(f"{directory}: was not trained on the classes of {data}; train it again")
    all_for_classifier = load_split(processed_dir, "test", classifier.config.image_size)
    all_train, all_test = (load_split(view_dir, split, generator.config.image_size) for split in ("train", "test"))
    test_for_classifier, test = (sampled(split, TEST_IMAGES) for split in (all_for_classifier, all_test))
    train = sampled(all_train, TRAINING_IMAGES)

    if not len(test.labels):
        raise UserError(f"{view_dir}: the test split has no images; raise preprocess.test_fraction or add images")

    # First, so that the peak memory is that of the models and not of the metrics.
    timing = {
        "classifier": _classifier_latency(classifier, test_for_classifier.images, settings.latency_runs, target),
        "generator": _generator_latency(generator, teacher_settings, settings.latency_runs, seed, target),
        "student": _generator_latency(student, student_settings, settings.latency_runs, seed, target),
    }
    probabilities, distance = predict(classifier, test_for_classifier.images, target)
    in_classifier = np.array([classes.index(name) for name in generated_classes])  # of each class of the generators
    labels = labels_in_proportion(test.labels, settings.samples_per_class * len(generated_classes))
    requested = in_classifier[labels]
    with_shown, shown = _with_grid(labels, len(generated_classes), min(GRID_COLUMNS, settings.samples_per_class))
    ways = few_step_ways(teacher_settings, student_settings)
    models = {"teacher": generator, "student": student}
    all_made = {way.name: generate(models[way.model], with_shown, way.sampler, seed, target, way.title) for way in ways}
    made = {name: images[: len(labels)] for name, images in all_made.items()}
    features = {
        "train": features_of(frozen, train.images, "training images"),
        "test": features_of(frozen, test.images, "test images"),
        "noise": features_of(frozen, noise_images(seed, len(labels), generator.config.image_size)),
        **{name: features_of(frozen, generated, "generated images") for name, generated in made.items()},
    }

    def search(images: np.ndarray, of_images: np.ndarray) -> dict[str, Nearest]:
        """The nearest training images by features and by pixels, of the images or their mirror images."""
        mirrored = images[:, :, ::-1]
        of_mirrored = features_of(frozen, mirrored, "mirrored images")
        return {
            "features": nearer(nearest(of_images, features["train"]), nearest(of_mirrored, features["train"])),
            "pixels": nearer(nearest(images, train.images), nearest(mirrored, train.images)),
        }

    nearest_of_test = search(test.images, features["test"])
    nearest_training = {name: search(made[name], features[name]) for name in ("student", "teacher")}

    marks = reference_marks(features["test"], features["train"], features["noise"], seed)

    def judge(name: str) -> dict[str, Any]:
        as_requested = predict(classifier, made[name], target)[0].argmax(axis=1) == requested
        return {
            "n_generated": len(made[name]),
            "n_real": len(test.images),
            **distances(features_name, features["test"], features[name], marks, settings, seed),
            **intervals.share("class_agreement", as_requested),
        }

    def copying(name: str) -> dict[str, Any]:
        return {
            kind: copying_metrics(found, nearest_of_test[kind], settings.bootstrap, seed)
            for kind, found in nearest_training[name].items()
        }

    metrics: dict[str, Any] = {
        "images": {  # that the figures are made with, and of how many
            "classifier_test": len(test_for_classifier.labels),
            "classifier_test_of": len(all_for_classifier.labels),
            "generator_test": len(test.labels),
            "generator_test_of": len(all_test.labels),
            "generator_train": len(train.labels),
            "generator_train_of": len(all_train.labels),
        },
        "classifier": _classifier_metrics(classifier, test_for_classifier, probabilities, distance, seed, target),
        "generator": {
            "n_train": len(train.images),
            **judge("teacher"),
            # What the generator could reach: its images are smaller than the classifier's, and may show less
            **intervals.share(
                "class_agreement_of_test",
                predict(classifier, test.images, target)[0].argmax(axis=1) == in_classifier[test.labels],
            ),
            **{f"{key}_{features_name}_{mark}": value for (key, mark), value in marks.items()},
            "copying": copying("teacher"),
        },
        "student": {"n_train": len(train.images), **judge("student"), "copying": copying("student")},
        "few_steps": {name: judge(name) for name in made if name not in ("teacher", "student")},
    }
    if settings.inception:
        try:
            network = load_inception().to(target)
            metrics["inception"] = inception_metrics(network, test.images, made["teacher"], seed)
        except InceptionUnavailableError as error:
            log.warning("evaluate: no FID, KID and Inception Score: %s", error)

    with atomic_directory(plots_dir) as directory, progress("drawing plots"):
        write_classifier_plots(directory, probabilities, test_for_classifier, classes)
        for name, file_name in (("teacher", "samples.png"), ("student", "student.png")):
            save_png(class_grid(all_made[name][shown], generated_classes), directory / file_name)
        write_copying_plots(directory, made, labels, train, nearest_training, nearest_of_test, generated_classes)
        save_png(
            few_step_grid([images[shown] for images in all_made.values()], ways, generated_classes),
            directory / "few_steps.png",
        )
    write_json(generator_sampler_path, teacher_settings.model_dump())
    write_json(student_sampler_path, student_settings.model_dump())
    write_json(timing_path, timing)
    write_json(metrics_path, metrics)


def _classifier_metrics(
    classifier: Classifier,
    test: Split,
    probabilities: np.ndarray,
    distances: np.ndarray,
    seed: int,
    device: torch.device,
) -> dict[str, Any]:
    """By its answers about the test images: probabilities [N, K] and distances [N]."""
    config = classifier.config
    others = {
        kind: predict(classifier, images, device)[1] for kind, images in unlike_images(config.image_size, seed).items()
    }
    unscaled = predict_unscaled(classifier, test.images, device)
    return {
        **classification_metrics(probabilities, test.labels, config.classes, config.other),
        **confidence_metrics(probabilities, unscaled, test.labels, config.reject_threshold),
        "unlike": unlike_metrics(distances, others, config.distance_limit),
    }


def _with_grid(labels: np.ndarray, num_classes: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels, followed by those that rare classes lack of `columns` images, and where the first `columns` of each are."""
    lacking = np.maximum(columns - np.bincount(labels, minlength=num_classes), 0)
    with_lacking = np.concatenate([labels, np.repeat(np.arange(num_classes), lacking)])
    return with_lacking, np.concatenate([np.flatnonzero(with_lacking == k)[:columns] for k in range(num_classes)])


def _classifier_latency(classifier: Classifier, images: np.ndarray, runs: int, device: torch.device) -> dict[str, Any]:
    """With batch norms folded into the convolutions, as in ONNX."""
    classifier = fold_norms(classifier)
    batch = as_tensor(images[:LATENCY_BATCH_SIZE]).to(device)
    return {
        "one": measure_latency(lambda: classifier.predict(batch[:1]), 1, runs, device),
        "batch": measure_latency(lambda: classifier.predict(batch), len(batch), runs, device),
    }


def _generator_latency(
    model: TinyDiT, settings: SamplerSettings, runs: int, seed: int, device: torch.device
) -> dict[str, Any]:
    """One image `runs` times; a batch takes so long that a tenth of the runs must do."""
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
