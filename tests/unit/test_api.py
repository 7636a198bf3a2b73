"""The models as users of the package have them, and the pipeline from Python."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import tinycats
from tests.conftest import ROOT
from tinycats.api.generator import _on_arc
from tinycats.classifier import network
from tinycats.export.onnx_models import OnnxClassifier
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import initial_noise, sample, save_sampler, student_sampler, to_uint8
from tinycats.preparing.decode import to_square
from tinycats.runtime.params import SamplerSettings

CLASSES = ["Bengal", "Maine Coon", "other"]
SIZE = 32
SAMPLER = SamplerSettings(method="euler", steps=3, guidance=2.0, guidance_low=0.0, guidance_high=1.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """classifier/, generator/ and student/ with random weights, as the pipeline leaves them in models/."""
    root = tmp_path_factory.mktemp("api") / "models"
    torch.manual_seed(0)
    config = network.ClassifierConfig(
        classes=CLASSES, other="other", arch="test_efficientnet", image_size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3,
        flip_at_test=False, reject_threshold=0.0, distance_limit=1.0, distance_dims=4,
    )  # fmt: skip
    network.Classifier(config).save_pretrained(root / "classifier")
    for name, settings in (("generator", SAMPLER), ("student", student_sampler(4))):
        shape = {"image_size": SIZE, "patch_size": 8, "width": 32, "depth": 1, "heads": 2}
        generator = TinyDiT(TinyDiTConfig(classes=CLASSES, few_step=name == "student", **shape))
        with torch.no_grad():
            for parameter in generator.parameters():  # it starts with zeros, where neither noise nor class matters
                parameter.normal_(std=0.3)
        generator.save_pretrained(root / name)
        save_sampler(settings, root / name)
    return root


def picture(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def test_a_prediction_is_what_the_model_says(models: Path, tmp_path: Path) -> None:
    """Of arrays, images and files alike, by torch and, below, by ONNX Runtime."""
    classifier = tinycats.Classifier.from_pretrained(models / "classifier")
    wide = Image.fromarray(picture(1, 60)).crop((0, 0, 60, 45))
    wide.save(tmp_path / "wide.png")
    squares = np.stack([picture(), *[to_square(wide, SIZE)] * 2])
    expected, distances = network.Classifier.from_pretrained(models / "classifier").predict(torch.from_numpy(squares))
    found = classifier.predict([picture(), wide, tmp_path / "wide.png"], top=2)
    for row, distance, prediction in zip(expected.numpy(), distances.tolist(), found, strict=True):
        order = np.argsort(-row)
        assert [name for name, _ in prediction.top] == [CLASSES[label] for label in order[:2]]
        assert [share for _, share in prediction.top] == pytest.approx(row[order[:2]], abs=1e-6)
        assert (prediction.class_name, prediction.probability) == prediction.top[0]
        assert prediction.distance == pytest.approx(distance, rel=1e-5)
        assert (prediction.unlike, prediction.sure) == (distance > 1.0, distance <= 1.0)


def test_the_released_classifier_is_the_one_in_pretrained() -> None:
    classifier = tinycats.Classifier.from_pretrained(ROOT / "pretrained")
    session = OnnxClassifier(ROOT / "pretrained/onnx_int8/classifier.onnx")
    probabilities, distances = session.predict(picture(0, session.config.image_size)[None])
    [prediction] = classifier.predict([picture(0, session.config.image_size)], top=99)
    assert dict(prediction.top) == pytest.approx(dict(zip(classifier.classes, probabilities[0].tolist(), strict=True)))
    assert prediction.distance == pytest.approx(distances[0])


@pytest.mark.parametrize(
    ("sure", "unlike", "answer"),
    [
        (True, False, "Bengal"), (None, None, "Bengal"), (False, False, "not sure (Bengal?)"),
        (False, True, "unlike the training images"), (None, True, "unlike the training images"),
    ],
)  # fmt: skip
def test_an_answer_in_words(sure: bool | None, unlike: bool | None, answer: str) -> None:
    assert tinycats.Prediction("Bengal", 0.5, sure, unlike, 1.0, (("Bengal", 0.5),)).answer == answer


def test_a_heat_map_is_the_head_times_the_features(models: Path) -> None:
    """Averaged over its places it is the logit, without the bias: what is shown is that, from 0 and relative to its most."""
    model = network.Classifier.from_pretrained(models / "classifier")
    pixels = torch.from_numpy(picture())[None].permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        logits, features = model(pixels)
        maps = torch.einsum("kc,bchw->bkhw", model.head.weight, features)
        torch.testing.assert_close(maps.mean(dim=(2, 3)) + model.head.bias, logits)
    relative = maps.clamp(min=0) / maps.amax(dim=(2, 3), keepdim=True)
    expected = F.interpolate(relative, (SIZE, SIZE), mode="bilinear", align_corners=False)[0].numpy()
    classifier = tinycats.Classifier.from_pretrained(models / "classifier")
    shown = 0
    for label, name in enumerate(CLASSES):
        if maps[0, label].max() > 0:
            np.testing.assert_allclose(classifier.heat_map(picture(), name), expected[label], atol=1e-4)
            shown += 1
        else:
            assert not classifier.heat_map(picture(), name).any()
    assert shown
    best = int(logits.argmax())
    assert np.array_equal(classifier.heat_map(picture()), classifier.heat_map(picture(), CLASSES[best]))


def test_a_heat_map_needs_the_head(tmp_path: Path) -> None:
    """Which the published folder has; that of the float32 model differs by what int8 changes."""
    shutil.copy(ROOT / "pretrained/onnx_int8/classifier.onnx", tmp_path / "alone.onnx")
    alone = tinycats.Classifier.from_pretrained(tmp_path / "alone.onnx")
    with pytest.raises(tinycats.UserError, match=r"alone\.onnx: comes without classifier_head\.bin"):
        alone.heat_map(picture())
    released = tinycats.Classifier.from_pretrained(ROOT / "pretrained")
    heat = released.heat_map(picture(), "Bengal")
    assert heat.shape == (released.image_size,) * 2
    assert 0 <= heat.min() < heat.max() <= 1
    with pytest.raises(tinycats.UserError, match="class_name: no class 'bengl'; did you mean Bengal"):
        released.heat_map(picture(), "bengl")


@pytest.mark.parametrize("images", ["cat.png", Path("cat.png"), picture(), Image.fromarray(picture())])
def test_one_image_is_no_list(models: Path, images: object) -> None:
    with pytest.raises(tinycats.UserError, match="takes a list of images"):
        tinycats.Classifier.from_pretrained(models / "classifier").predict(images)  # type: ignore[arg-type]


def test_other_arrays_are_refused(models: Path) -> None:
    classifier = tinycats.Classifier.from_pretrained(models / "classifier")
    assert classifier.predict([]) == []
    for wrong, said in ((picture() / 255, "float64 [32, 32, 3]"), (picture()[..., 0], "uint8 [32, 32]")):
        with pytest.raises(tinycats.UserError) as error:
            classifier.predict([picture(), wrong])
        assert said in str(error.value)


@pytest.mark.parametrize(
    ("images", "top", "said"),
    [
        ([picture()], 0, "top: must be a whole number from 1 on, got 0"),
        ([None], 5, "an image must be a PIL image, an array or the name of a file, got NoneType"),
        (["https://example.org/cat.jpg"], 5, "is an address; download the image"),
    ],
)
def test_what_cannot_be_predicted_is_one_line(models: Path, images: list, top: int, said: str) -> None:
    with pytest.raises(tinycats.UserError, match=said):
        tinycats.Classifier.from_pretrained(models / "classifier").predict(images, top)


@pytest.mark.parametrize("kind", [tinycats.Classifier, tinycats.Generator])
def test_a_file_that_is_no_model_is_one_line(kind: type) -> None:
    with pytest.raises(
        tinycats.UserError, match=r"README\.md: is no model: neither a model directory nor an \.onnx file"
    ):
        kind.from_pretrained(ROOT / "README.md")


def test_a_model_of_the_other_kind_is_named() -> None:
    released = ROOT / "pretrained/onnx_int8"
    with pytest.raises(tinycats.UserError, match=r"is a tinycats-generator, and no tinycats-classifier"):
        tinycats.Classifier.from_pretrained(released / "generator.onnx")
    with pytest.raises(tinycats.UserError, match=r"is a tinycats-classifier, and no tinycats-generator"):
        tinycats.Generator.from_pretrained(released / "classifier.onnx")


def test_where_nothing_is_named_the_own_model_comes_first(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In any folder of the project; and where none was trained, the one that came with the repository."""
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    (tmp_path / "notebooks").mkdir()
    for folder, up in ((tmp_path, ""), (tmp_path / "notebooks", "../")):
        monkeypatch.chdir(folder)
        assert str(tinycats.Classifier.from_pretrained().path) == f"{up}pretrained/onnx_int8/classifier.onnx"
        assert str(tinycats.Generator.from_pretrained(student=True).path) == f"{up}pretrained/onnx_int8/student.onnx"
    (tmp_path / "models").symlink_to(models)
    assert str(tinycats.Classifier.from_pretrained().path) == "../models/classifier"
    generator = tinycats.Generator.from_pretrained()
    assert (str(generator.path), generator.settings, generator.few_step) == ("../models/generator", SAMPLER, False)
    monkeypatch.chdir(tmp_path.parent)
    with pytest.raises(
        tinycats.UserError, match=r"models/student: not found, and no project is here or above.*`dvc repro`"
    ):
        tinycats.Generator.from_pretrained(student=True)


def test_images_are_read_in_their_order(tmp_path: Path) -> None:
    for number, name in enumerate(("b.png", "a.jpg", "c.PNG")):
        Image.new("RGB", (10 + number, 9)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    assert [image.width for image in tinycats.load_images(tmp_path)] == [11, 10, 12]
    assert [image.width for image in tinycats.load_images([tmp_path / "c.PNG", str(tmp_path / "a.jpg")])] == [12, 11]
    assert [image.mode for image in tinycats.load_images(tmp_path / "b.png")] == ["RGB"]
    for wrong, said in (
        ([tmp_path / "notes.txt"], "notes.txt: is not a readable image (undecodable)"),
        (tmp_path / "b.pgn", "b.pgn: not found; did you mean"),
        (tmp_path / "folder.png", "folder.png: has no files named"),
    ):
        with pytest.raises(tinycats.UserError) as error:
            tinycats.load_images(wrong)
        assert said in str(error.value)


def expected_image(model: Path, shares: list[float], seed: int, number: int, settings: SamplerSettings) -> np.ndarray:
    noise, weights = initial_noise(seed, [number], SIZE), torch.tensor([shares], dtype=torch.float32)
    return to_uint8(sample(TinyDiT.from_pretrained(model), noise, weights, settings))[0].numpy()


def test_an_image_depends_on_class_seed_and_number(models: Path) -> None:
    generator = tinycats.Generator.from_pretrained(models / "generator")
    images = generator.generate(["other", "Bengal"], count=2, seed=7)
    assert images.shape == (4, SIZE, SIZE, 3)
    assert np.array_equal(images[1], expected_image(models / "generator", [0, 0, 1, 0], 7, 1, SAMPLER))
    assert np.array_equal(images[2], expected_image(models / "generator", [1, 0, 0, 0], 7, 0, SAMPLER))
    assert np.array_equal(images[3], generator.generate_one("Bengal", seed=7, number=1))
    changed = SAMPLER.model_copy(update={"steps": 2, "guidance": 0.5})
    [other] = generator.generate("Bengal", steps=2, guidance=0.5)
    assert np.array_equal(other, expected_image(models / "generator", [1, 0, 0, 0], 0, 0, changed))
    assert len(generator.generate()) == len(CLASSES)


def test_a_mixture_is_a_class_with_shares(models: Path) -> None:
    student = tinycats.Generator.from_pretrained(models / "student")
    mixed = student.generate([{"Bengal": 3, "other": 1}, {"Bengal": 5}, "Bengal"])
    assert np.array_equal(mixed[0], expected_image(models / "student", [0.75, 0, 0.25, 0], 0, 0, student_sampler(4)))
    assert np.array_equal(mixed[1], mixed[2])
    assert not np.array_equal(mixed[0], mixed[1])
    for wrong in ({}, {"Bengal": 0}, {"Bengal": 1, "other": -1}, {"Bengal": float("nan")}):
        with pytest.raises(tinycats.UserError, match="classes: shares must be"):
            student.generate(wrong)


def test_a_walk_passes_its_stops(models: Path) -> None:
    student = tinycats.Generator.from_pretrained(models / "student")
    stops = [("Bengal", 1), ("other", 2), ("Bengal", 1)]
    images = student.walk(stops, frames=4)
    assert images.shape == (9, SIZE, SIZE, 3)
    for row, (name, seed) in zip((0, 4, 8), stops, strict=True):
        assert np.array_equal(images[row], student.generate_one(name, seed=seed))
    between = _on_arc(initial_noise(1, [0], SIZE), initial_noise(2, [0], SIZE), 0.25)
    weights = [0.75, 0, 0.25, 0]
    expected = sample(TinyDiT.from_pretrained(models / "student"), between, torch.tensor([weights]), student_sampler(4))
    assert np.array_equal(images[1], to_uint8(expected)[0].numpy())
    with pytest.raises(tinycats.UserError, match="two stops"):
        student.walk(stops[:1], frames=4)
    with pytest.raises(tinycats.UserError, match="stops: each must be a class and a seed"):
        student.walk(["Bengal", "other"], frames=4)  # type: ignore[list-item]


def test_what_is_between_two_noises_is_as_long_as_they_are() -> None:
    start, end = initial_noise(1, [0], SIZE), initial_noise(2, [0], SIZE)
    unit, other = start / start.norm(), end / end.norm()
    middle = _on_arc(unit, other, 0.5)
    assert float(middle.norm()) == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close((middle * unit).sum(), (middle * other).sum())  # as far from the one as from the other
    assert torch.equal(_on_arc(start, start, 0.5), start)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("student", {"steps": 3}, "steps: .*student is a student, made for 1 or 2 or 4 steps, got 3"),
        ("student", {"guidance": 1.0}, "guidance: .*student is a student, which has guidance baked in"),
        ("generator", {"steps": 0}, "steps: must be from 1 to 1000, got 0"),
        ("generator", {"guidance": float("inf")}, "guidance: must be from 0 to 100, got inf"),
        ("generator", {"guidance": -1.0}, "guidance: must be from 0 to 100"),
        ("generator", {"classes": "bengl"}, "classes: no class 'bengl'; did you mean Bengal?"),
        ("generator", {"count": 0}, "nothing to generate"),
        ("generator", {"count": "3"}, "count: must be a whole number, got '3'"),
        ("generator", {"seed": -1}, "seed: must be from 0 to 9223372036854775807, got -1"),
        ("generator", {"seed": 1.5}, "seed: must be a whole number, got 1.5"),
        ("generator", {"classes": []}, "nothing to generate"),
    ],
)
def test_what_cannot_be_generated_is_one_line(models: Path, model: str, arguments: dict, said: str) -> None:
    generator = tinycats.Generator.from_pretrained(models / model)
    with pytest.raises(tinycats.UserError, match=said):
        generator.generate(**arguments)


def test_an_adapter_needs_a_model_directory(tmp_path: Path) -> None:
    with pytest.raises(tinycats.UserError, match="mimi: not found; `tinycats adapt` makes adapters"):
        tinycats.Generator.from_pretrained(ROOT / "pretrained", adapter=tmp_path / "mimi")
    with pytest.raises(tinycats.UserError, match=r"adapter: .*generator\.onnx is an \.onnx file"):
        tinycats.Generator.from_pretrained(ROOT / "pretrained", adapter=tmp_path)


def test_a_project_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone, with a name for the experiments' commits where git knows none; what is wrong with a run is one line."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "here")], check=True)
    here = tmp_path / "here"
    for name in ("conf", ".dvc"):
        shutil.copytree(ROOT / name, here / name, ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(ROOT / name, here)
    subprocess.run(["git", "-C", str(here), "add", "--all"], check=True)
    subprocess.run(["git", "-C", str(here), "commit", "--quiet", "--message", "Start"], check=True)
    monkeypatch.chdir(here / "conf")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    project = tinycats.new_project(tmp_path / "new")
    assert project == tmp_path / "new"
    assert (project / "dvc.yaml").read_bytes() == (here / "dvc.yaml").read_bytes()
    name = subprocess.run(
        ["git", "-C", str(project), "config", "user.name"], capture_output=True, text=True, check=True
    )
    assert name.stdout == "tinycats\n"
    with pytest.raises(tinycats.UserError, match="new: exists and is not empty"):
        tinycats.new_project(project)
    with pytest.raises(tinycats.UserError, match=r"the run failed: .*train\.stepz") as error:
        tinycats.run_experiment("train.stepz=3", root=project)
    assert "\n" not in str(error.value)
