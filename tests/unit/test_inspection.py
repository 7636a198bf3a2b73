"""What preprocess finds wrong with the data, on drawn cats with planted faults."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from tinycats.backbones import networks
from tinycats.backbones.features import FrozenFeatures, features_of
from tinycats.cli import app
from tinycats.data.processed import load_split
from tinycats.data.raw import RawImage, write_raw
from tinycats.experiments.report import write_report as page_report
from tinycats.experiments.revisions import Revision
from tinycats.inspection.label_errors import MIN_ODDS, confident_errors, likely_wrong_labels
from tinycats.inspection.near_duplicates import Pair, leave_out, near_duplicates
from tinycats.inspection.outliers import outliers
from tinycats.inspection.report import Looked, Seen, look, write_report
from tinycats.preparing.preprocess import preprocess
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import PreprocessParams
from tinycats.sources.synthetic import render

ARCH = "tf_efficientnet_lite0"
SIZE = 64
SETTINGS = PreprocessParams(
    val_fraction=0.2, test_fraction=0.2, min_side_px=20, max_pixels=100_000, fit="crop", max_bad_fraction=0.5,
    other_class=None, features=ARCH, near_duplicates="drop", face=None, min_faces=1,
)  # fmt: skip


def altered(pixels: np.ndarray, rng: np.random.Generator, mirrored: bool = False) -> Image.Image:
    """A resized, recompressed, slightly cropped copy."""
    image = Image.fromarray(pixels[:, ::-1] if mirrored else pixels)
    left, top, right, bottom = rng.uniform(0, 0.05, 4) * image.width
    side = round(image.width * rng.uniform(0.8, 1.25))
    image = image.resize(
        (side, side), Image.Resampling.BICUBIC, (left, top, image.width - right, image.height - bottom)
    )
    file = io.BytesIO()
    image.save(file, "JPEG", quality=int(rng.integers(60, 91)))
    return Image.open(file)


def square(image: Image.Image) -> np.ndarray:
    return np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BICUBIC))


@pytest.fixture(scope="module")
def cats() -> np.ndarray:
    """Thirty of each of four breeds that look alike."""
    return np.stack(
        [render(name, i, 5, SIZE) for name in ("Birman", "Ragdoll", "Siamese", "Persian") for i in range(30)]
    )


def test_planted_copies_are_found_and_nothing_else(cats: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    of = np.arange(0, 120, 3)
    copies = np.stack([square(altered(cats[row], rng, mirrored=row % 2 == 1)) for row in of])
    images = np.concatenate([cats, copies])
    features = rng.normal(size=(len(images), 8)).astype(np.float32)  # no help: the thumbnails are the harder way
    features[120::2] = features[of[::2]]
    pairs = near_duplicates(images, features)
    planted = {(int(row), 120 + number) for number, row in enumerate(of)}
    found = {(pair.first, pair.second) for pair in pairs}
    assert found <= planted
    assert len(found) >= 0.95 * len(planted)
    assert all(pair.mirrored == (pair.first % 2 == 1) for pair in pairs)


def test_cats_that_are_no_copies_are_not_found(cats: np.ndarray) -> None:
    assert near_duplicates(cats, np.ones((len(cats), 4), np.float32)) == []


def test_flat_images_have_no_twins() -> None:
    flat = np.full((6, SIZE, SIZE, 3), 200, np.uint8)
    flat[3:] = 90
    assert near_duplicates(flat, np.ones((6, 4), np.float32)) == []
    assert near_duplicates(flat[:1], np.ones((1, 4), np.float32)) == []


def test_an_image_is_dropped_only_for_one_that_stays() -> None:
    pairs = [Pair(0, 1, 1.0, False), Pair(1, 2, 1.0, False), Pair(3, 4, 1.0, True)]
    assert leave_out(pairs, [0, 1, 2, 3, 4]) == {1: 0, 4: 3}  # 2 is like 1 only, which is gone
    assert leave_out(pairs, [4, 1, 0, 2, 3]) == {0: 1, 2: 1, 3: 4}
    assert leave_out([], [0, 1]) == {}


def clusters(rng: np.random.Generator, classes: int = 5, each: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Features of classes that overlap a little, and their labels."""
    labels = np.repeat(np.arange(classes), each)
    centres = rng.normal(size=(classes, 32))
    return (centres[labels] + rng.normal(scale=0.6, size=(len(labels), 32))).astype(np.float32), labels


def test_swapped_labels_are_found() -> None:
    rng = np.random.default_rng(0)
    features, labels = clusters(rng)
    given = labels.copy()
    swapped = rng.choice(len(labels), 12, replace=False)
    given[swapped] = (labels[swapped] + rng.integers(1, 5, 12)) % 5
    judged = likely_wrong_labels(features, given)
    assert judged is not None
    suspects, agreement = judged
    right = [suspect for suspect in suspects if suspect.image in swapped]
    assert len(right) >= 0.7 * len(swapped)
    assert len(right) >= 0.6 * len(suspects)
    assert all(suspect.likely == labels[suspect.image] for suspect in right)
    odds = [suspect.odds for suspect in suspects]
    assert odds == sorted(odds, reverse=True)
    assert odds[-1] >= MIN_ODDS
    assert 0.9 < agreement < 1


def test_swapped_labels_of_cats_are_found(cats: np.ndarray) -> None:
    features = features_of(FrozenFeatures(ARCH, ""), cats)
    labels = np.repeat(np.arange(4), 30)
    given = labels.copy()
    swapped = [3, 37, 71, 110]
    given[swapped] = (labels[swapped] + [1, 3, 2, 1]) % 4
    judged = likely_wrong_labels(features, given)
    assert judged is not None
    found = [suspect.image for suspect in judged[0]]
    assert len(set(found) & set(swapped)) >= 3
    assert len(set(found) - set(swapped)) <= 2


def test_right_labels_are_not_suspected() -> None:
    judged = likely_wrong_labels(*clusters(np.random.default_rng(1)))
    assert judged is not None
    assert len(judged[0]) <= 2


def test_of_few_images_or_one_class_nothing_is_said() -> None:
    features = np.random.default_rng(0).normal(size=(12, 4)).astype(np.float32)
    assert likely_wrong_labels(features, np.zeros(12, int)) is None
    assert likely_wrong_labels(features, np.repeat([0, 1, 2], 4)) is None
    assert outliers(features[:4], np.zeros(4, int)) == []


def test_a_class_that_is_hard_to_tell_is_not_suspected_as_a_whole() -> None:
    probabilities = np.array([[0.4, 0.6], [0.6, 0.4], [0.5, 0.5], [0.1, 0.9], [0.1, 0.9], [0.01, 0.99]])
    labels = np.array([0, 0, 0, 1, 1, 0])  # usual: 0.3775 and 0.9
    likely, odds = confident_errors(np.log(probabilities), labels)
    assert likely.tolist() == [0, 0, 0, 1, 1, 1]  # the first one's 0.4 is much for its class, 0.6 little for the other
    assert odds[:5].tolist() == [1.0] * 5
    assert odds[5] == pytest.approx((0.99 / 0.9) / (0.01 / 0.3775))


def test_an_outlier_is_found() -> None:
    features, labels = clusters(np.random.default_rng(2))
    assert len(outliers(features, labels)) <= 3
    features[7] = np.random.default_rng(3).normal(scale=2, size=32)
    found = outliers(features, labels)
    assert found[0].image == 7
    assert found[0].deviations > 10
    assert len(found) <= 4


def raw_cats(tmp_path: Path) -> None:
    """Twelve cats each of two breeds, and copies of some in other splits; one is the same to the pixel."""
    rng = np.random.default_rng(0)
    images = []

    def add(name: str, split: str, image: Image.Image) -> None:
        content = io.BytesIO()
        image.save(content, "PNG")
        images.append(RawImage(name, name.split("/")[0], split, content.getvalue()))

    for breed in ("Bombay", "Persian"):
        for i in range(12):
            split = "test" if i < 2 else "val" if i < 4 else "train"
            add(f"{breed}/{i:02}.png", split, Image.fromarray(render(breed, i, 3, SIZE)))
    add("Bombay/00_same.png", "train", Image.fromarray(render("Bombay", 0, 3, SIZE)))
    add("Bombay/copy_of_test.png", "train", altered(render("Bombay", 0, 3, SIZE), rng))
    add("Bombay/0_copy_of_train.png", "train", altered(render("Bombay", 8, 3, SIZE), rng))
    add("Persian/copy_of_val.png", "train", altered(render("Persian", 2, 3, SIZE), rng, mirrored=True))
    write_raw(tmp_path / "raw", images)


def test_preprocess_drops_twins_and_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw_cats(tmp_path)

    def run(name: str, **changes: object) -> dict:
        settings = SETTINGS.model_copy(update=changes)
        return preprocess(tmp_path / "raw", tmp_path / name / "processed", [32, SIZE], settings, 0, tmp_path / name)

    metrics = run("dropped")
    assert [file for file in metrics["quarantined_files"] if file["reason"] == "near_duplicate"] == [
        {"name": "Bombay/0_copy_of_train.png", "reason": "near_duplicate", "same_as": "Bombay/08.png"},
        {"name": "Bombay/copy_of_test.png", "reason": "near_duplicate", "same_as": "Bombay/00.png"},
        {"name": "Persian/copy_of_val.png", "reason": "near_duplicate", "same_as": "Persian/02.png"},
    ]
    assert (metrics["quarantined"]["duplicate"], metrics["quarantined"]["near_duplicate"]) == (1, 3)
    assert metrics["kept"] == sum(metrics["splits"].values()) == sum(metrics["classes"].values()) == 24
    train = load_split(tmp_path / "dropped/processed/photo", "train", SIZE)
    assert "Bombay/copy_of_test.png" not in train.names
    assert "Bombay/00.png" in load_split(tmp_path / "dropped/processed/photo", "test", 32).names

    numbers = json.loads((tmp_path / "dropped/data.json").read_text())
    assert numbers["images"] == 24
    assert numbers["near_duplicates"] == {
        "pairs": 3, "pairs_within_a_split": 1, "pairs_across_splits": 2, "pairs_of_two_classes": 0, "mirrored_pairs": 1,
        "dropped": 3,
    }  # fmt: skip
    assert numbers["balance"] == {"classes": 2, "smallest_class": 12, "largest_class": 12, "largest_to_smallest": 1.0}
    assert numbers["sizes"]["shorter_side_px_median"] == SIZE
    findings = json.loads((tmp_path / "dropped/findings.json").read_text())
    assert {row["image"] for row in findings if row["finding"] == "near_duplicate"} == {
        "Bombay/0_copy_of_train.png", "Bombay/copy_of_test.png", "Persian/copy_of_val.png",
    }  # fmt: skip
    for sheet in ("classes", "pairs", "suspects", "outliers"):
        with Image.open(tmp_path / f"dropped/data/{sheet}.png") as image:
            assert min(image.size) >= 128

    reported = run("reported", near_duplicates="report")
    assert (reported["kept"], reported["quarantined"]["near_duplicate"]) == (27, 0)
    numbers = json.loads((tmp_path / "reported/data.json").read_text())
    assert (numbers["near_duplicates"]["pairs"], numbers["near_duplicates"]["dropped"]) == (3, 0)

    monkeypatch.setattr("tinycats.inspection.report.FrozenFeatures", None)  # not even made
    run("unseen", features=None, near_duplicates="report")
    numbers = json.loads((tmp_path / "unseen/data.json").read_text())
    assert set(numbers) == {"images", "balance", "sizes"}
    assert [path.name for path in (tmp_path / "unseen/data").iterdir()] == ["classes.png"]
    assert json.loads((tmp_path / "unseen/findings.json").read_text()) == []


def test_a_split_that_would_be_emptied_is_one_line(tmp_path: Path) -> None:
    images = []
    for breed in ("Bombay", "Persian"):
        for i, split in enumerate(("test", "val", "train")):
            file = io.BytesIO()
            number = 0 if (breed, split) == ("Bombay", "train") else i
            Image.fromarray(render(breed, number, 3, SIZE)).save(file, "JPEG", quality=90 + i)
            images.append(RawImage(f"{breed}/{i}.jpg", breed, split, file.getvalue()))
    write_raw(tmp_path / "raw", images)
    with pytest.raises(
        UserError, match=r"all train images of 'Bombay' are near-duplicates of others; .*=report"
    ) as error:
        preprocess(tmp_path / "raw", tmp_path / "processed", [SIZE], SETTINGS, 0)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "processed").exists()


def test_without_weights_the_error_says_how_to_do_without(monkeypatch: pytest.MonkeyPatch, cats: np.ndarray) -> None:
    monkeypatch.setattr(networks, "load_package", lambda *_: False)
    real = networks.timm.create_model

    def offline(arch: str, pretrained: bool = False, **options: object) -> object:
        if pretrained:
            raise OSError("no network")
        return real(arch, pretrained=False, **options)

    monkeypatch.setattr(networks.timm, "create_model", offline)
    looked = Looked(cats, np.arange(2), ["a/1", "a/2"], ["a", "a"], ["train", "test"], [(64, 64)] * 2)
    with pytest.raises(UserError, match=r"without: -S preprocess\.features=null -S preprocess\.near_duplicates=report"):
        look(looked, ARCH)


def test_the_report_of_few_images_has_no_figures_that_cannot_be_computed(tmp_path: Path, cats: np.ndarray) -> None:
    looked = Looked(cats, np.arange(3), ["a/1", "a/2", "a/3"], ["a"] * 3, ["train", "val", "test"], [(64, 100)] * 3)
    write_report(looked, Seen(np.random.default_rng(0).normal(size=(3, 8)), [], {}), True, tmp_path)
    numbers = json.loads((tmp_path / "data.json").read_text())
    assert "labels" not in numbers
    assert numbers["sizes"]["largest_aspect_ratio"] == 1.56
    assert not (tmp_path / "data/suspects.png").exists()


@pytest.fixture
def project(tmp_path: Path, cats: np.ndarray) -> Path:
    """A project with a report on six cats, of which one is a copy, in the class `00`."""
    images = np.concatenate([cats[:5], cats[:1]])
    names = [f"00/{i}.png" for i in range(6)]
    looked = Looked(images, np.arange(6), names, ["00"] * 6, ["test", *["train"] * 4, "val"], [(64, 64)] * 6)
    pairs = near_duplicates(images, np.ones((6, 4), np.float32))
    write_report(
        looked, Seen(np.ones((6, 4), np.float32), pairs, leave_out(pairs, range(6))), True, tmp_path / "metrics"
    )
    return tmp_path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["data", *arguments])
    assert result.exit_code == 0, result.output
    return result.output


def test_the_command_shows_the_report(project: Path) -> None:
    printed = json.loads(run("--root", str(project), "--json"))
    assert printed["metrics"]["near_duplicates"]["dropped"] == 1
    assert printed["findings"] == [
        {
            "finding": "near_duplicate",
            "image": "00/5.png",
            "split": "val",
            "class": "00",
            "other": "00/0.png",
            "score": 1.0,
        }
    ]
    shown = run("--root", str(project))
    assert "near duplicates: pairs across splits" in shown
    assert "00/5.png" in shown
    assert "Labels" not in shown


def test_the_command_without_a_report_is_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["data", "--root", str(tmp_path)])
    assert result.exit_code == 1
    assert str(result.exception) == f"error: {tmp_path}/metrics/data.json: not found; `dvc repro preprocess` writes it"


@pytest.mark.parametrize("name", ["data", "findings"])
@pytest.mark.parametrize(
    "content",
    [b"<<<<<<< HEAD", b"\xff", b'"text"', b'[{"finding": "outlier"}]', b"[" * 100_000],
    ids=["conflict", "no UTF-8", "text", "incomplete", "deep"],
)
def test_the_command_names_a_damaged_report(project: Path, name: str, content: bytes) -> None:
    path = project / f"metrics/{name}.json"
    path.write_bytes(content)
    result = CliRunner().invoke(app, ["data", "--root", str(project)])
    assert result.exit_code == 1
    said = str(result.exception)
    assert said.startswith(f"error: {path}: is not intact (")
    assert "\n" not in said
    assert len(said) < 400


def test_the_page_shows_the_report(project: Path) -> None:
    files = {path.relative_to(project).as_posix(): path.read_bytes() for path in project.rglob("*") if path.is_file()}
    (project / "page").mkdir()
    page_report([Revision("workspace", files)], project / "page")
    shown = json.loads((project / "page/experiments.json").read_text())["revisions"][0]
    assert shown["metrics"]["data"]["near_duplicates.pairs"] == 1
    assert shown["tables"]["findings"]["rows"] == [["near_duplicate", "00/5.png", "val", "00", "00/0.png", 1]]
    assert {image["series"] for image in shown["images"]} == {"data/pairs", "data/outliers", "data/classes"}
