import csv
import json
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tinycats.backbones.features import FrozenFeatures, features_of
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.evaluation import job
from tinycats.evaluation.few_steps import few_step_ways
from tinycats.evaluation.inception import InceptionUnavailableError
from tinycats.evaluation.inference import generate, noise_images, predict
from tinycats.evaluation.job import evaluate
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import student_sampler, teacher_sampler
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import read_json
from tinycats.runtime.params import EvaluateParams, SamplerParams

pytestmark = pytest.mark.xdist_group("evaluation")  # one evaluation serves them all

CLASSES = ["Bengal", "Birman", "other"]
SAMPLER = SamplerParams(method="euler", steps=2, guidance=2.0, guidance_low=0.1, guidance_high=0.9, student_steps=4)
TEACHER, STUDENT = teacher_sampler(SAMPLER), student_sampler(4)
FEATURES = "efficientnet_lite0"
FD, KD = f"fd_{FEATURES}", f"kd_{FEATURES}"
SETTINGS = EvaluateParams(
    samples_per_class=10, neighbours=3, bootstrap=50, features=f"tf_{FEATURES}", inception=False, latency_runs=3
)
CPU = torch.device("cpu")
GENERATOR_SIZE, CLASSIFIER_SIZE = 16, 32
COUNTS = {"train": 60, "test": 45}


def write_processed(directory: Path) -> None:
    """Coloured noise whose brightness tells the class."""
    rng = np.random.default_rng(0)
    directory.mkdir()
    rows = []
    for split, count in COUNTS.items():
        labels = np.arange(count) % len(CLASSES)
        small = rng.integers(0, 80, (count, 16, 16, 3)) + 80 * labels[:, None, None, None]
        for size in (GENERATOR_SIZE, CLASSIFIER_SIZE):
            images = small.repeat(size // 16, axis=1).repeat(size // 16, axis=2).astype(np.uint8)
            np.save(directory / f"{split}_{size}.npy", images)
        rows += [(f"{split}/{row}.jpg", label, split, row) for row, label in enumerate(labels)]
    with (directory / "index.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("name", "label", "split", "row"), *rows])
    (directory / "classes.json").write_text(json.dumps({"classes": CLASSES, "other": "other", "fit": "crop"}))


def save_models(directory: Path, classes: list[str] = CLASSES, other_classes_of: str = "") -> None:
    """`classes` are those of the generator named by `other_classes_of`, or of both; all other models have CLASSES."""
    torch.manual_seed(0)
    classifier = Classifier(
        ClassifierConfig(
            classes=CLASSES,
            arch="test_efficientnet",
            image_size=CLASSIFIER_SIZE,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            other="other",
            flip_at_test=False,
            temperature=2.0,
            reject_threshold=0.5,
            distance_dims=2,
            distance_limit=1e-3,
        )
    )
    torch.nn.init.zeros_(classifier.head.weight)  # says the first class of every picture
    with torch.no_grad():
        classifier.head.bias.copy_(torch.tensor([2.0, 0.0, 0.0]))
    classifier.save_pretrained(directory / "classifier")
    for name in ("generator", "student"):
        config = TinyDiTConfig(
            classes=classes if name == other_classes_of or not other_classes_of else CLASSES,
            image_size=GENERATOR_SIZE, patch_size=8, width=16, depth=1, heads=2, few_step=name == "student",
        )  # fmt: skip
        generator = TinyDiT(config)
        for linear in (generator.final, generator.final_modulation):  # zero at first, which paints everything grey
            torch.nn.init.normal_(linear.weight, std=0.3)
        generator.save_pretrained(directory / name)


def run(directory: Path, out: str = "out", **changes: Any) -> dict[str, Any]:
    metrics_path = directory / out / "evaluate.json"
    arguments: dict[str, Any] = {
        "processed_dir": directory / "processed",
        "view_dir": directory / "processed",
        "classifier_dir": directory / "classifier",
        "generator_dir": directory / "generator",
        "student_dir": directory / "student",
        "metrics_path": metrics_path,
        "plots_dir": directory / out / "evaluate",
        "timing_path": directory / out / "timing" / "evaluate.json",
        "generator_sampler_path": directory / out / "generator.sampler.json",
        "student_sampler_path": directory / out / "student.sampler.json",
        "sampler": SAMPLER,
        "settings": SETTINGS,
        "seed": 0,
        "device": "cpu",
    }
    evaluate(**(arguments | changes))
    return json.loads(metrics_path.read_text())


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("evaluate")
    write_processed(directory / "processed")
    save_models(directory)
    return directory


@pytest.fixture(scope="module")
def metrics(workspace: Path) -> dict[str, Any]:
    return run(workspace)


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_classifier_that_always_says_one_class_gets_what_chance_gets(metrics):
    classifier = metrics["classifier"]
    assert classifier["n"] == 45
    assert classifier["top1"] == pytest.approx(1 / 3)
    assert classifier["top5"] == 1  # of three classes
    assert classifier["macro_f1"] == pytest.approx(1 / 6)
    assert classifier["cat_or_other"] == pytest.approx(2 / 3)
    assert classifier["per_class_accuracy"] == {"Bengal": 1, "Birman": 0, "other": 0}
    confidence = np.exp(2) / (np.exp(2) + 2)
    assert classifier["ece_unscaled"] == pytest.approx(confidence - 1 / 3, abs=1e-6)
    scaled = np.exp(1) / (np.exp(1) + 2)
    assert classifier["ece"] == pytest.approx(scaled - 1 / 3, abs=1e-6)
    assert (classifier["n_accepted"], classifier["coverage"]) == (45, 1)
    assert classifier["accepted_precision"] == pytest.approx(1 / 3)
    assert classifier["unlike"]["n_unlike"] == 250
    # Nothing is fitted, so that the length of the features is the distance: everything is beyond the limit
    assert (classifier["unlike"]["told"], classifier["unlike"]["unlike_test"]) == (1, 1)
    assert 0 <= classifier["unlike"]["auroc"] <= 1
    assert classifier["top1_low"] < 1 / 3 < classifier["top1_high"] < 0.5
    # Every class is asked for equally often, so such a classifier agrees with exactly one in K.
    assert metrics["generator"]["class_agreement"] == pytest.approx(1 / 3)


def test_an_untrained_generator_is_far_from_the_photos_and_copies_nothing(metrics):
    generator = metrics["generator"]
    assert (generator["n_generated"], generator["n_real"], generator["n_train"]) == (30, 45, 60)
    assert generator[FD] > 2 * generator[f"{FD}_floor"] > 0
    assert generator[f"{FD}_noise"] > 2 * generator[f"{FD}_floor"]
    assert generator[KD] > 0
    for name in (FD, KD, f"{FD}_share", f"{KD}_share", "class_agreement", f"diversity_{FEATURES}"):
        assert generator[f"{name}_low"] < generator[name] < generator[f"{name}_high"], name
    assert generator[f"precision_{FEATURES}"] == 0
    for distance in (FD, KD):
        floor, noise = generator[f"{distance}_floor"], generator[f"{distance}_noise"]
        for end in ("", "_low", "_high"):
            share = (generator[f"{distance}{end}"] - floor) / (noise - floor)
            assert generator[f"{distance}_share{end}"] == pytest.approx(share)
    assert generator["copying"]["pixels"]["median_ratio"] > 0.5
    assert generator["copying"]["features"]["closer_than_p1_of_test"] < 0.1


def test_the_metrics_say_with_how_many_images_they_were_made(workspace, metrics, monkeypatch):
    names = [f"{name}{of}" for name in ("classifier_test", "generator_test", "generator_train") for of in ("", "_of")]
    assert metrics["images"] == dict(zip(names, [45, 45, 45, 45, 60, 60], strict=True))
    monkeypatch.setattr(job, "TEST_IMAGES", 24)
    monkeypatch.setattr(job, "TRAINING_IMAGES", 30)
    monkeypatch.setattr("tinycats.data.processed.LEAST_OF_CLASS", 1)
    sampled = run(workspace, "sampled")
    assert list(sampled["images"].values()) == [24, 45, 24, 45, 30, 60]
    assert (sampled["classifier"]["n"], sampled["generator"]["n_real"], sampled["student"]["n_train"]) == (24, 24, 30)
    assert sampled["generator"]["copying"]["pixels"]["median_ratio"] > 0.5


def test_the_student_is_measured_as_the_teacher_is(metrics):
    teacher, student = metrics["generator"], metrics["student"]
    marks = {f"{name}_{mark}" for name in (FD, KD) for mark in ("floor", "noise")}  # the same for both
    of_test = {f"class_agreement_of_test{end}" for end in ("", "_low", "_high")}
    assert teacher.keys() - student.keys() == marks | of_test
    assert student.keys() < teacher.keys()
    assert (student["n_generated"], student["n_real"], student["n_train"]) == (30, 45, 60)
    assert student[FD] != teacher[FD]
    assert student["copying"]["pixels"]["median_generated"] != teacher["copying"]["pixels"]["median_generated"]
    assert list(metrics["few_steps"]) == ["teacher_4", "student_2", "student_1"]
    assert all(FD in entry and "copying" not in entry for entry in metrics["few_steps"].values())
    distances = {entry[FD] for entry in (teacher, student, *metrics["few_steps"].values())}
    assert len(distances) == 5


def test_each_of_the_few_step_pictures_is_what_its_name_says(workspace, metrics):
    """The grid: a row a class, the first picture of the class; columns teacher, teacher in 4, student in 4, 2 and 1."""
    models = {name: TinyDiT.from_pretrained(workspace / name) for name in ("generator", "student")}
    labels = np.repeat(np.arange(3), 10)
    ways = few_step_ways(TEACHER, STUDENT)
    assert [(way.model, way.sampler.steps) for way in ways] == [
        ("teacher", 2), ("teacher", 4), ("student", 4), ("student", 2), ("student", 1)
    ]  # fmt: skip
    with Image.open(workspace / "out/evaluate/few_steps.png") as image:
        grid = np.asarray(image)
    pitch = GENERATOR_SIZE + 2
    head = 3 * (GENERATOR_SIZE // 5)  # two lines of titles
    top = head + 2
    assert grid.shape[0] == head + 3 * pitch + 2
    assert (grid[:head] < 255).any()
    left = grid.shape[1] - 5 * pitch  # the names of the classes stand before it
    for column, way in enumerate(ways):
        model = models["generator" if way.model == "teacher" else "student"]
        made = generate(model, labels, way.sampler, 0, CPU)
        for row in range(3):
            y, x = top + row * pitch, left + column * pitch
            shown = grid[y : y + GENERATOR_SIZE, x : x + GENERATOR_SIZE]
            assert np.array_equal(shown, made[10 * row]), (row, column)


@pytest.mark.parametrize(
    ("student_steps", "names"),
    [
        (1, ["teacher", "teacher_1", "student"]),
        (2, ["teacher", "teacher_2", "student", "student_1"]),
        (8, ["teacher", "teacher_8", "student", "student_2", "student_1"]),
    ],
)
def test_the_student_is_tried_in_fewer_steps_than_its_own(student_steps, names):
    ways = few_step_ways(TEACHER, student_sampler(student_steps))
    assert [way.name for way in ways] == names
    assert [way.model for way in ways] == [name.split("_")[0] for name in names]
    samplers = {way.name: way.sampler for way in ways}
    assert samplers["teacher"] == TEACHER
    assert samplers[f"teacher_{student_steps}"] == TEACHER.model_copy(update={"steps": student_steps})
    assert samplers["student"] == student_sampler(student_steps)
    assert all(samplers[f"student_{n}"] == student_sampler(n) for n in (2, 1) if f"student_{n}" in names)


def test_the_samplers_are_written_for_all_who_make_more_images(workspace, metrics):
    for name, settings in (("generator", TEACHER), ("student", STUDENT)):
        assert json.loads((workspace / f"out/{name}.sampler.json").read_text()) == settings.model_dump()


def test_clock_readings_are_in_the_timing_file_alone(workspace, metrics):
    timing = json.loads((workspace / "out" / "timing" / "evaluate.json").read_text())
    for model in ("classifier", "generator", "student"):
        assert timing[model]["one"]["batch_size"] == 1
        assert timing[model]["one"]["runs"] == 3
        assert timing[model]["batch"]["images_per_second"] > 0
        assert timing[model]["batch"]["peak_memory_mb"] > 10
    assert not any(word in json.dumps(metrics) for word in ("_ms", "second", "memory"))


def test_two_runs_write_the_same_bytes(workspace, metrics):
    assert run(workspace, out="again") == metrics
    first, again = (workspace / name / "evaluate" for name in ("out", "again"))
    names = sorted(path.name for path in first.iterdir())
    assert [name for name in names if name.endswith(".json")] == [
        "confusion.json",
        "copying.json",
        "nearest.json",
        "per_class.json",
        "reliability.json",
    ]
    assert [name for name in names if name.endswith(".png")] == [
        "confusion.png",
        "few_steps.png",
        "mistakes.png",
        "nearest.png",
        "samples.png",
        "student.png",
    ]
    assert sorted(path.name for path in again.iterdir()) == names
    for name in names:
        assert (first / name).read_bytes() == (again / name).read_bytes(), name


def test_plot_data_tells_what_the_metrics_tell(workspace, metrics):
    plots = workspace / "out" / "evaluate"
    confusion = read_json(plots / "confusion.json")
    assert len(confusion) == 45
    assert {row["predicted"] for row in confusion} == {"Bengal"}
    assert sum(row["actual"] == row["predicted"] for row in confusion) / 45 == metrics["classifier"]["top1"]
    assert read_json(plots / "per_class.json")[0] == {"class": "Bengal", "accuracy": 1.0, "n": 15}
    bins = read_json(plots / "reliability.json")
    assert [row["n"] for row in bins] == [45]
    assert bins[0]["low"] < bins[0]["confidence"] <= bins[0]["high"]
    with Image.open(plots / "samples.png") as image:
        assert image.height == len(CLASSES) * (GENERATOR_SIZE + 2) + 2


def image_of_each_class() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, GENERATOR_SIZE, GENERATOR_SIZE, 3), dtype=np.uint8)


@pytest.fixture
def unbalanced(workspace: Path, tmp_path: Path) -> Path:
    """A workspace whose test split has one image of each class, 33 times, 12 times and not at all."""
    shutil.copytree(workspace, tmp_path / "unbalanced")
    processed = tmp_path / "unbalanced/processed"
    labels = np.repeat([0, 1], [33, 12])
    for size in (GENERATOR_SIZE, CLASSIFIER_SIZE):
        factor = size // GENERATOR_SIZE
        np.save(
            processed / f"test_{size}.npy", image_of_each_class()[labels].repeat(factor, axis=1).repeat(factor, axis=2)
        )
    train = [line for line in (processed / "index.csv").read_text().splitlines() if ",test," not in line]
    test = [f"test/{row}.jpg,{label},test,{row}" for row, label in enumerate(labels)]
    (processed / "index.csv").write_text("\n".join([*train, *test]) + "\n")
    return tmp_path / "unbalanced"


def test_a_perfect_generator_is_at_no_distance_from_an_unbalanced_test_split(unbalanced, monkeypatch):
    """Its images follow the proportions of the test split; else the distance would be that of the proportions."""
    monkeypatch.setattr(job, "generate", lambda model, labels, *_: image_of_each_class()[labels])
    settings = SETTINGS.model_copy(update={"samples_per_class": 15})
    metrics = run(unbalanced, settings=settings)
    for model in ("generator", "student"):
        found = metrics[model]
        assert (found["n_generated"], found["n_real"]) == (45, 45)
        assert found[FD] < 1e-6 * metrics["generator"][f"{FD}_floor"]
        assert (found[f"precision_{FEATURES}"], found[f"recall_{FEATURES}"]) == (1, 1)
        assert found[f"diversity_{FEATURES}"] == pytest.approx(1)
        assert found["copying"]["pixels"]["median_ratio"] == 1
    nearest = read_json(unbalanced / "out/evaluate/nearest.json")
    assert [row["class"] for row in nearest] == (["Bengal"] * 33 + ["Birman"] * 12) * 2
    # The classifier says Bengal to everything.
    assert metrics["generator"]["class_agreement"] == pytest.approx(33 / 45)
    assert metrics["generator"]["class_agreement_of_test"] == pytest.approx(33 / 45)


def test_the_sheets_show_classes_that_the_test_split_lacks(unbalanced, monkeypatch):
    asked = []

    def generate_class(model, labels, *_):
        asked.append(labels.tolist())
        return image_of_each_class()[labels]

    monkeypatch.setattr(job, "generate", generate_class)
    run(unbalanced)
    assert {tuple(labels) for labels in asked} == {(0,) * 22 + (1,) * 8 + (2,) * 8}
    for name, columns in (("samples", 8), ("student", 8), ("few_steps", 5)):
        with Image.open(unbalanced / f"out/evaluate/{name}.png") as image:
            sheet = np.asarray(image)
        pitch = GENERATOR_SIZE + 2
        grid = sheet[sheet.shape[0] - 3 * pitch :, sheet.shape[1] - columns * pitch :]
        for row, expected in enumerate(image_of_each_class()):
            for column in range(columns):
                y, x = row * pitch, column * pitch
                assert np.array_equal(grid[y : y + GENERATOR_SIZE, x : x + GENERATOR_SIZE], expected), (name, row)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_generator_that_returns_training_pictures_is_found_out(workspace, monkeypatch, mirrored):
    train = np.load(workspace / "processed" / f"train_{GENERATOR_SIZE}.npy")
    monkeypatch.setattr(job, "generate", lambda *_: train[:30, :, ::-1] if mirrored else train[:30])
    copying = run(workspace, out="copies")["generator"]["copying"]
    nearest = read_json(workspace / "copies/evaluate/nearest.json")
    assert [row["model"] for row in nearest] == ["student"] * 30 + ["teacher"] * 30
    assert [row["picture"] for row in nearest] == [*range(30)] * 2
    for kind in ("features", "pixels"):
        assert [row[f"{kind}_nearest"] for row in nearest] == [f"train/{i}.jpg" for i in range(30)] * 2
    percentiles = read_json(workspace / "copies/evaluate/copying.json")
    assert [row["percentile"] for row in percentiles] == [*range(101)]
    assert percentiles[50]["test_pixels"] == pytest.approx(copying["pixels"]["median_test"])
    assert {row[f"{model}_pixels"] for row in percentiles for model in ("student", "teacher")} == {0.0}
    for kind in ("features", "pixels"):
        assert copying[kind]["median_generated"] == 0
        assert copying[kind]["closer_than_p1_of_test"] == copying[kind]["closer_than_p5_of_test"] == 1


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_handful_of_test_images_gives_no_interval_rather_than_no_number(tmp_path, monkeypatch, caplog, count):
    monkeypatch.setitem(COUNTS, "test", count)
    write_processed(tmp_path / "processed")
    save_models(tmp_path)
    with caplog.at_level(logging.WARNING):
        metrics = run(tmp_path)
    generator = metrics["generator"]
    assert generator["n_real"] == count
    assert {FD in generator, f"{FD}_share" in generator, KD in generator} == {count > 1}
    assert not {f"{KD}_low", f"{KD}_high", f"diversity_{FEATURES}_low"} & generator.keys()
    assert (f"precision_{FEATURES}" in generator) == (count > SETTINGS.neighbours)
    for word in ("interval of the kernel distance", "precision", "recall", "interval of the diversity"):
        assert f"no {word}: " in caplog.text
    assert ("no Fréchet distance: " in caplog.text) == ("no marks of the distances: " in caplog.text) == (count == 1)
    assert metrics["classifier"]["top1_low"] < metrics["classifier"]["top1_high"]


def test_without_inception_weights_there_is_no_inception_key(workspace, metrics, monkeypatch, caplog):
    def unavailable():
        raise InceptionUnavailableError("no network")

    assert "inception" not in metrics
    monkeypatch.setattr(job, "load_inception", unavailable)
    with caplog.at_level(logging.WARNING):
        assert run(workspace, out="inception", settings=SETTINGS.model_copy(update={"inception": True})) == metrics
    assert "no network" in caplog.text


def test_an_empty_test_split_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(COUNTS, "test", 0)
    write_processed(tmp_path / "processed")
    save_models(tmp_path)
    with pytest.raises(UserError, match="the test split has no images"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_generators_may_know_fewer_classes_than_the_classifier(workspace, tmp_path):
    """The classifier says Bengal of everything, the generators know Birman and other: it never agrees."""
    view = tmp_path / "view"
    shutil.copytree(workspace / "processed", view)
    rows = read_csv(view / "index.csv")
    with (view / "index.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(row | {"label": max(int(row["label"]) - 1, 0)} for row in rows)
    (view / "classes.json").write_text(json.dumps({"classes": CLASSES[1:], "other": None, "fit": "crop"}))
    save_models(tmp_path, classes=CLASSES[1:])
    metrics = run(tmp_path, processed_dir=workspace / "processed", view_dir=view)
    assert metrics["generator"]["class_agreement"] == metrics["student"]["class_agreement"] == 0
    assert metrics["classifier"]["top1"] == pytest.approx(1 / 3)
    assert metrics["generator"]["n_generated"] == 20


@pytest.mark.parametrize("name", ["generator", "student"])
def test_models_of_other_classes_are_refused_and_nothing_is_written(tmp_path, name):
    write_processed(tmp_path / "processed")
    save_models(tmp_path, classes=["Bengal", "Birman", "Sphynx"], other_classes_of=name)
    with pytest.raises(UserError, match=f"{name}: was not trained on the classes of"):
        run(tmp_path)
    assert not (tmp_path / "out").exists()


def test_each_generated_picture_depends_on_its_number_and_the_seed_alone(workspace):
    model = TinyDiT.from_pretrained(workspace / "generator")
    many = generate(model, [0] * 70, TEACHER, seed=5, device=CPU)
    assert many.shape == (70, GENERATOR_SIZE, GENERATOR_SIZE, 3)
    assert many.dtype == np.uint8
    few = generate(model, [0] * 3, TEACHER, seed=5, device=CPU)
    other = generate(model, [0] * 3, TEACHER, seed=6, device=CPU)
    assert np.abs(many[:3].astype(int) - few).mean() < 1  # other batch sizes round differently
    assert np.abs(other.astype(int) - few).mean() > 10


def test_pictures_of_another_size_are_resized_for_the_models(workspace):
    rng = np.random.default_rng(0)
    ends = rng.integers(0, 256, (2, 8, 1, 1, 3))

    def ramps(size: int) -> np.ndarray:
        along = ((np.arange(size) + 0.5) / size)[None, None, :, None].repeat(size, axis=1)
        return (ends[0] + (ends[1] - ends[0]) * along).round().astype(np.uint8)

    frozen = FrozenFeatures(SETTINGS.features, "")
    small, same, large = (features_of(frozen, ramps(size)) for size in (32, 128, 200))
    assert same.shape == (8, 1280)
    for resized in (small, large):
        assert np.abs(same - resized).mean() < 0.1 * np.abs(same - np.roll(same, 1, axis=0)).mean()
    test = np.load(workspace / "processed" / f"test_{GENERATOR_SIZE}.npy")
    classifier = Classifier.from_pretrained(workspace / "classifier")
    probabilities, distances = predict(classifier, test, CPU)
    assert probabilities.sum(axis=1) == pytest.approx(np.ones(45), abs=1e-5)
    assert distances.shape == (45,)


def test_noise_images_are_noise():
    noise = noise_images(0, 4, 16)
    assert noise.shape == (4, 16, 16, 3)
    assert 100 < noise.mean() < 155
    assert noise.std() > 60
