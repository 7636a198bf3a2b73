from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner, Result

from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.cli import app
from tinycats.commands.file_names import file_stems
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, save_sampler, student_sampler, to_uint8
from tinycats.preparing.decode import to_square
from tinycats.runtime.errors import one_line_errors
from tinycats.runtime.files import atomic_path, file_hash, write_json
from tinycats.runtime.params import SamplerSettings
from tinycats.runtime.words import nearest_names

pytestmark = pytest.mark.xdist_group("cli")  # the same models serve them all

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["Bengal", "Maine Coon", "Sphynx", "Birman", "Bombay", "other"]
SIZE = 32
SAMPLERS = {
    "generator": SamplerSettings(method="heun", steps=2, guidance=2.5, guidance_low=0.1, guidance_high=0.9),
    "student": student_sampler(4),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/classifier, models/generator and models/student with random weights, as the pipeline leaves them."""
    root = tmp_path_factory.mktemp("pipeline")
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=CLASSES, other="other", arch="test_efficientnet", image_size=SIZE, mean=(0.5,) * 3, std=(0.5,) * 3,
        flip_at_test=True, distance_dims=4,
    )  # fmt: skip
    classifier = Classifier(config)
    with torch.no_grad():
        classifier.head.weight *= 100  # else it says nearly the same of every image
        for buffer in (classifier.distance.projection, classifier.distance.whitening):
            buffer.normal_()
    classifier.save_pretrained(root / "models/classifier")
    for name, sampler in SAMPLERS.items():
        generator = TinyDiT(
            TinyDiTConfig(
                classes=CLASSES, image_size=SIZE, patch_size=8, width=32, depth=1, heads=2, few_step=name == "student"
            )
        )
        with torch.no_grad():
            for parameter in generator.parameters():  # it starts with zeros, where neither noise nor class matters
                parameter.normal_(std=0.3)
        generator.save_pretrained(root / "models" / name)
        save_sampler(sampler, root / "models" / name)
    return root


@pytest.fixture
def here(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory that sees the models."""
    (tmp_path / "models").symlink_to(models / "models")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_line(result: Result) -> str:
    """The one line that a failed command says."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.output.strip().splitlines()
    assert len(lines) == 1, result.output
    assert lines[0].startswith("error: ")
    return lines[0]


def draw(path: Path, seed: int, size: tuple[int, int] = (60, 40)) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def png_pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_predict_json_is_exactly_this(here: Path) -> None:
    files = [draw(here / "a cat.png", 1), draw(here / "b.jpg", 2, (40, 90))]
    result = run("predict", *files, "--json", "--top", "2")
    assert result.exit_code == 0
    items = json.loads(result.stdout)
    model = Classifier.from_pretrained(here / "models/classifier")
    for file, item in zip(files, items, strict=True):
        pixels = torch.tensor(to_square(Image.open(file).convert("RGB"), SIZE))
        expected, distance = (answer[0] for answer in model.predict(pixels[None]))
        order = expected.argsort(descending=True)[:2]
        top = [{"class": CLASSES[i], "probability": pytest.approx(float(expected[i]), abs=1e-5)} for i in order]
        assert item == {
            "file": str(file), **top[0], "sure": None, "unlike": None, "distance": pytest.approx(float(distance), abs=6e-5),
            "top": top,
        }  # fmt: skip
        assert list(item) == ["file", "class", "probability", "sure", "unlike", "distance", "top"]


def test_predict_looks_at_pictures_as_the_classifier_was_trained_to(here: Path, tmp_path: Path) -> None:
    file = draw(here / "wide.png", 1, (90, 40))
    model = Classifier.from_pretrained(here / "models/classifier")
    model.config = model.config.model_copy(update={"fit": "stretch"})
    model.save_pretrained(tmp_path / "stretched")
    pixels = torch.tensor(to_square(Image.open(file).convert("RGB"), SIZE, "stretch"))
    expected = float(model.predict(pixels[None])[0].max())
    answers = [
        json.loads(run("predict", file, "--json", *model).stdout)[0]["probability"]
        for model in ((), ("--model", tmp_path / "stretched"))
    ]
    assert answers[1] == pytest.approx(expected, abs=1e-5) != pytest.approx(answers[0], abs=1e-5)


def test_predict_is_sure_from_the_threshold_on(here: Path, tmp_path: Path) -> None:
    file = draw(here / "a.png", 1)
    model = Classifier.from_pretrained(here / "models/classifier")
    pixels = torch.tensor(to_square(Image.open(file).convert("RGB"), SIZE))
    confidence = float(model.predict(pixels[None])[0].max())
    best = json.loads(run("predict", file, "--json").stdout)[0]["class"]
    for threshold, sure in ((0.0, True), (confidence, True), (confidence + 1e-6, False)):
        model.config = model.config.model_copy(update={"reject_threshold": threshold})
        path = tmp_path / f"at-{threshold}"
        model.save_pretrained(path)
        assert json.loads(run("predict", file, "--json", "--model", path).stdout)[0]["sure"] is sure
        table = run("predict", "a.png", "--model", path).stdout
        assert (f"not sure ({best}?)" in table) is not sure


def test_predict_says_what_is_unlike_the_training_images(here: Path, tmp_path: Path) -> None:
    """Beyond the limit the answer is not sure, however high the confidence is; without a threshold nothing is said of that."""
    file = draw(here / "a.png", 1)
    model = Classifier.from_pretrained(here / "models/classifier")
    pixels = torch.tensor(to_square(Image.open(file).convert("RGB"), SIZE))
    distance = float(model.predict(pixels[None])[1])
    best = json.loads(run("predict", file, "--json").stdout)[0]["class"]
    for limit, threshold, unlike, sure in (
        (distance * 1.001, 0.0, False, True),
        (distance / 1.001, 0.0, True, False),
        (distance / 1.001, None, True, None),
    ):
        changes = {"reject_threshold": threshold, "distance_limit": limit}
        model.config = model.config.model_copy(update=changes)
        path = tmp_path / f"at-{limit}-{threshold}"
        model.save_pretrained(path)
        answer = json.loads(run("predict", file, "--json", "--model", path).stdout)[0]
        assert (answer["unlike"], answer["sure"], answer["class"]) == (unlike, sure, best)
        table = run("predict", "a.png", "--model", path).stdout
        assert ("unlike the training images" in table) is unlike
        assert f"{best} {answer['probability']:.1%}" in " ".join(table.split()) or not unlike  # whose probability it is
        assert "not sure" not in table


def test_predict_table_names_the_class(here: Path) -> None:
    file = draw(here / "a.png", 1)
    best = json.loads(run("predict", file, "--json").stdout)[0]
    result = run("predict", "a.png")
    assert result.exit_code == 0
    assert "a.png" in result.stdout
    assert best["class"] in result.stdout
    assert f"{best['probability']:.1%}" in result.stdout


def test_predict_takes_the_images_of_folders_and_shows_whole_names(here: Path) -> None:
    folder = here / "photos" / ("of-our-own-cats-" * 5)
    folder.mkdir(parents=True)
    for name in ("b.png", "a.png"):
        draw(folder / name, 1)
    draw(here / "c.png", 2)
    found = json.loads(run("predict", "c.png", folder, "--json").stdout)
    assert [item["file"] for item in found] == ["c.png", str(folder / "a.png"), str(folder / "b.png")]
    lines = run("predict", folder / "a.png").stdout.splitlines()
    assert str(folder / "a.png") in "".join(line.split()[0] for line in lines if line.strip())
    assert "photos: has no files named *.jpg" in error_line(run("predict", here / "photos"))


def test_predict_top_is_at_most_all_classes(here: Path) -> None:
    item = json.loads(run("predict", draw(here / "a.png", 1), "--json", "--top", "99").stdout)[0]
    assert sorted(entry["class"] for entry in item["top"]) == sorted(CLASSES)
    assert sum(entry["probability"] for entry in item["top"]) == pytest.approx(1, abs=1e-4)


def test_predict_bad_pictures_are_a_line_each_and_no_json(here: Path) -> None:
    draw(here / "cat.jpg", 1)
    (here / "prose.txt").write_text("no picture")
    (here / "void").touch()
    result = run("predict", "cat.jpg", "prose.txt", "void", "cats.jpg", "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.splitlines() == [
        "error: prose.txt: is not a readable image (undecodable)",
        "error: void: is not a readable image (undecodable)",
        "error: cats.jpg: not found; did you mean cat.jpg?",
    ]


def test_what_is_no_image_file_is_not_waited_for(here: Path) -> None:
    os.mkfifo(here / "pipe.jpg")
    (here / "lost.jpg").symlink_to("nowhere.jpg")
    assert "pipe.jpg: is a pipe, socket or device" in error_line(run("predict", "pipe.jpg"))
    assert error_line(run("predict", "lost.jpg")) == "error: lost.jpg: is a link to nothing"


def test_a_damaged_classifier_gives_no_answer(here: Path, models: Path) -> None:
    """Safetensors are checked when they are read, ONNX files are not."""
    from tinycats.export.onnx_export import export_classifier

    broken = Classifier.from_pretrained(models / "models/classifier")
    with torch.no_grad():
        broken.head.bias[0] = torch.nan
    export_classifier(broken, here / "broken.onnx", 20)
    draw(here / "cat.png", 1)
    for more in ((), ("--json",)):
        result = run("predict", "cat.png", "--model", "broken.onnx", *more)
        assert error_line(result) == "error: broken.onnx: gives values that are not finite; its weights are damaged"


def test_names_that_a_terminal_cannot_show_end_no_command(tmp_path: Path) -> None:
    script = "from tinycats.runtime.errors import one_line_errors\nwith one_line_errors():\n    print('日本猫')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True)
    assert done.stdout == rb"\u65e5\u672c\u732b" + b"\n"


def test_errors_name_the_file_that_was_meant(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as error, one_line_errors():  # noqa: SIM117
        with atomic_path(tmp_path / "grid.png") as temporary:
            raise OSError(errno.ENOSPC, "No space left on device", str(temporary))
    assert str(error.value) == f"error: No space left on device ({tmp_path}/grid.png)"


def test_predict_without_a_model_says_where_it_would_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    draw(tmp_path / "cat.png", 1)
    assert "dvc repro" in error_line(run("predict", "cat.png"))
    assert "models/onnx/classifier.onnx: not found" in error_line(run("predict", "cat.png", "--onnx"))


@pytest.fixture
def pretrained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project where nothing was trained, with a classifier in pretrained/, as `tinycats release` leaves it."""
    from tinycats.export.onnx_export import export_classifier

    config = ClassifierConfig(
        classes=CLASSES,
        other="other",
        arch="test_resnet",
        image_size=SIZE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip_at_test=True,
        distance_dims=4,
    )
    torch.manual_seed(1)
    path = tmp_path / "pretrained/onnx_int8/classifier.onnx"
    path.parent.mkdir(parents=True)
    export_classifier(Classifier(config).eval(), path, opset=18)
    name = path.relative_to(tmp_path / "pretrained").as_posix()
    manifest = {"classifier": {"files": {"int8": name}}, "files": [{"path": name, "sha256": file_hash(path)}]}
    write_json(tmp_path / "pretrained/manifest.json", manifest)
    draw(tmp_path / "cat.png", 1)
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize(
    ("options", "missing"), [((), "models/classifier"), (("--onnx",), "models/onnx/classifier.onnx")]
)
def test_predict_uses_the_pretrained_classifier_where_none_was_trained_and_says_so(
    pretrained: Path, options: tuple[str, ...], missing: str
) -> None:
    result = run("predict", "cat.png", "--json", *options)
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(f"{missing}: not found; uses pretrained/onnx_int8/classifier.onnx")
    assert result.stderr.count("\n") == 1
    by_name = run("predict", "cat.png", "--json", "--model", pretrained)
    assert by_name.stderr == ""
    assert json.loads(result.stdout) == json.loads(by_name.stdout)
    assert "models/other: not found" in error_line(run("predict", "cat.png", "--model", "models/other"))


def test_predict_uses_the_own_classifier_where_one_was_trained(pretrained: Path) -> None:
    config = ClassifierConfig(
        classes=["own"],
        other=None,
        arch="test_resnet",
        image_size=SIZE,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        flip_at_test=False,
    )
    Classifier(config).save_pretrained(Path("models/classifier"))
    result = run("predict", "cat.png", "--json")
    assert result.stderr == ""
    assert json.loads(result.stdout)[0]["class"] == "own"


def test_predict_refuses_a_pretrained_classifier_that_is_not_what_its_manifest_says(pretrained: Path) -> None:
    manifest = Path("pretrained/manifest.json")
    pretrained.write_bytes(pretrained.read_bytes() + b"x")
    assert "its SHA-256 differs" in error_line(run("predict", "cat.png"))
    pretrained.unlink()
    assert "classifier.onnx: not found, but pretrained/manifest.json names it" in error_line(run("predict", "cat.png"))
    manifest.write_text("{}")
    assert "does not name an int8 classifier" in error_line(run("predict", "cat.png"))
    manifest.unlink()
    assert "pretrained/manifest.json: not found" in error_line(run("predict", "cat.png"))


def test_predict_onnx_takes_no_directory(here: Path) -> None:
    assert "is not an .onnx file" in error_line(
        run("predict", draw(here / "a.png", 1), "--onnx", "--model", "models/classifier")
    )


def test_predict_onnx_agrees_with_torch(here: Path, models: Path) -> None:
    from tinycats.export.onnx_export import export_classifier

    path = models / "models/onnx/classifier.onnx"
    path.parent.mkdir()
    export_classifier(Classifier.from_pretrained(models / "models/classifier"), path, opset=18)
    file = draw(here / "a.png", 1)
    [onnx] = json.loads(run("predict", file, "--onnx", "--json").stdout)
    [torch_] = json.loads(run("predict", file, "--json").stdout)
    [by_option] = json.loads(run("predict", file, "--model", path, "--json").stdout)
    assert onnx == by_option
    assert [entry["class"] for entry in onnx["top"]] == [entry["class"] for entry in torch_["top"]]
    assert onnx["probability"] == pytest.approx(torch_["probability"], abs=1e-4)
    verified = run("verify", path)
    assert verified.exit_code == 0
    assert "6 classes" in verified.stdout


def test_generate_is_a_function_of_class_seed_and_number(here: Path) -> None:
    settings = ("--steps", "3", "--guidance", "1.5")
    assert run("generate", "--class", "Bengal", "--count", "2", "--seed", "7", *settings, "--out", "a").exit_code == 0
    assert sorted(path.name for path in (here / "a").iterdir()) == ["Bengal-7-0.png", "Bengal-7-1.png", "grid.png"]
    classes = ("--class", "Maine Coon", "--class", "Bengal")
    assert run("generate", *classes, "--count", "3", "--seed", "7", *settings, "--out", "b").exit_code == 0
    assert (here / "b/Bengal-7-1.png").read_bytes() == (here / "a/Bengal-7-1.png").read_bytes()
    first = png_pixels(here / "a/Bengal-7-0.png")
    assert first.shape == (SIZE, SIZE, 3)
    assert not np.array_equal(first, png_pixels(here / "a/Bengal-7-1.png"))
    other_class = png_pixels(here / "b/Maine_Coon-7-0.png")
    assert not np.array_equal(first, other_class)
    grid = png_pixels(here / "b/grid.png")  # a row for each class, in the order they were asked for
    assert grid.shape == (2 * SIZE, 3 * SIZE, 3)
    assert np.array_equal(grid[:SIZE, :SIZE], other_class)
    assert np.array_equal(grid[SIZE:, SIZE : 2 * SIZE], png_pixels(here / "a/Bengal-7-1.png"))
    assert run("generate", "--class", "Bengal", "--count", "1", "--seed", "8", *settings, "--out", "a").exit_code == 0
    assert not np.array_equal(first, png_pixels(here / "a/Bengal-8-0.png"))
    assert Image.open(here / "a/Bengal-7-1.png").text == {
        "class": "Bengal", "seed": "7", "number": "1", "method": "heun", "steps": "3", "guidance": "1.5",
        "guidance_low": "0.1", "guidance_high": "0.9", "few_step": "False",
    }  # fmt: skip


def test_generate_makes_all_classes_when_none_is_named(here: Path) -> None:
    assert run("generate", "--count", "1", "--steps", "1").exit_code == 0
    assert len(list((here / "generated").glob("*-0-0.png"))) == len(CLASSES)


def test_generate_with_a_student_takes_its_few_steps(here: Path) -> None:
    model = ("--student", "--class", "Bengal", "--count", "2", "--seed", "7")
    for out, steps, taken in (("four", (), 4), ("two", ("--steps", "2"), 2)):
        assert run("generate", *model, *steps, "--out", out).exit_code == 0
        pictures = sample(
            TinyDiT.from_pretrained(here / "models/student"),
            initial_noise(7, range(2), SIZE),
            one_hot_classes([CLASSES.index("Bengal")] * 2, len(CLASSES)),
            student_sampler(taken),
        )
        for number, expected in enumerate(to_uint8(pictures).numpy()):
            image = Image.open(here / out / f"Bengal-7-{number}.png")
            assert np.abs(np.asarray(image).astype(int) - expected).max() <= 1
            assert (image.text["steps"], image.text["few_step"]) == (str(taken), "True")


def test_generate_uses_the_pretrained_generator_where_none_was_trained_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pretrained").symlink_to(ROOT / "pretrained")
    monkeypatch.chdir(tmp_path)
    asked = ("generate", "--class", "Bengal", "--count", "1", "--steps", "2")
    result = run(*asked, "--out", "a")
    assert result.exit_code == 0, result.output
    released = "pretrained/onnx_int8/generator.onnx"
    assert result.stderr.startswith(f"models/generator: not found; uses {released}")
    assert run(*asked, "--out", "b", "--model", released).stderr == ""
    assert (tmp_path / "a/Bengal-0-0.png").read_bytes() == (tmp_path / "b/Bengal-0-0.png").read_bytes()
    for out, options in (("c", ("--student",)), ("d", ("--student", "--model", "pretrained"))):
        student = run(*asked, "--out", out, *options)
        assert student.exit_code == 0, student.output
        assert Image.open(tmp_path / out / "Bengal-0-0.png").text["few_step"] == "True"
    wrong = error_line(run(*asked, "--student", "--model", released))
    assert wrong == f"error: --student: {released} is not a student; leave out --student or --model"
    assert "--out: a/grid.png is a file; name a folder" in error_line(run(*asked, "--out", "a/grid.png"))
    assert "models/other: not found" in error_line(run(*asked, "--model", "models/other"))


def test_generate_with_a_student_takes_no_guidance(here: Path) -> None:
    for strength in ("3", "1"):
        line = error_line(run("generate", "--model", "models/student", "--guidance", strength))
        words = "--guidance: models/student is a student, which has guidance baked in; leave it out"
        assert line == f"error: {words}"
    assert not (here / "generated").exists()


def test_generate_leaves_no_half_written_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def disk_full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", disk_full)
    assert "No space left on device" in error_line(run("generate", "--class", "Bengal", "--steps", "1"))
    assert list((here / "generated").iterdir()) == []


def test_wrong_class_names_the_nearest(here: Path) -> None:
    assert error_line(run("generate", "--class", "bengl")).endswith("no class 'bengl'; did you mean Bengal?")
    far = error_line(run("generate", "--class", "12345"))
    assert all(name in far for name in CLASSES)
    assert not (here / "generated").exists()


def test_nearest_names() -> None:
    assert nearest_names("maine coon", CLASSES) == ["Maine Coon"]
    assert nearest_names("BOMBAI", CLASSES)[0] == "Bombay"
    assert nearest_names("zzz", CLASSES) == []


def test_verify_says_a_line_for_each(here: Path) -> None:
    result = run("verify", "models/classifier", "models/generator", "models/student")
    assert result.exit_code == 0
    first, second, third = result.stdout.splitlines()
    assert third.startswith("models/student: ")
    assert "student, 6 classes" in third
    assert first.startswith("models/classifier: classifier, 6 classes, test_efficientnet")
    assert second.startswith("models/generator: generator, 6 classes")


def test_verify_continues_after_a_broken_model_and_fails(here: Path) -> None:
    shutil.copytree(here / "models/generator", here / "broken")
    (here / "broken/model.safetensors").write_bytes(b"")
    (here / "broken.onnx").write_bytes(b"no model")
    result = run("verify", "broken", "broken.onnx", "models/generator")
    assert result.exit_code == 1
    assert result.stdout.startswith("models/generator: generator")
    broken, onnx = result.stderr.splitlines()
    assert broken.startswith("error: broken/model.safetensors: ")
    assert onnx.startswith("error: broken.onnx: ")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_params_composes_what_check_accepts(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (repository / "conf/data").joinpath("deeper").mkdir()
    monkeypatch.chdir(repository / "conf/data/deeper")  # works anywhere inside the repository
    assert run("params").exit_code == 0
    assert run("params", "--check").exit_code == 0
    composed = yaml.safe_load((repository / "params.yaml").read_text())
    assert composed["data"]["source"] == "synthetic"
    assert run("params", "data=oxford_pets", "train.steps=7").exit_code == 0
    composed = yaml.safe_load((repository / "params.yaml").read_text())
    assert (composed["data"]["source"], composed["train"]["steps"]) == ("oxford_pets", 7)


def test_params_check_names_what_differs_and_writes_nothing(repository: Path) -> None:
    run("params")
    path = repository / "params.yaml"
    changed = path.read_text().replace("seed: 0", "seed: 5", 1)
    path.write_text(changed)
    line = error_line(run("params", "--check"))
    assert "seed is 5, conf/ has 0" in line
    assert path.read_text() == changed
    path.write_text("# a comment\n" + changed.replace("seed: 5", "seed: 0", 1))
    assert "in order or format" in error_line(run("params", "--check"))
    for content, words in (
        ("", "classifier.arch is missing, conf/ has"),
        ("seed: [", "it is not YAML"),
        ("[]", "classifier.arch is missing"),
    ):
        path.write_text(content)
        assert words in error_line(run("params", "--check"))
    path.unlink()
    assert "params.yaml" in error_line(run("params", "--check"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train.lr=-1", "train.lr: input should be greater than 0, got -1"),
        ("trian.lr=1", "trian.lr"),
        ("data=horses", "data/horses"),
        ("train.lr=[", "cannot be composed"),
        ("data=image_folder", "data.path"),
        ("dit.patch_size=7", "patch_size 7 does not divide image_size 64"),
    ],
)
def test_wrong_params_are_one_line_and_not_written(repository: Path, override: str, words: str) -> None:
    assert words in error_line(run("params", override))
    assert not (repository / "params.yaml").exists()


def test_params_outside_the_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no conf/config.yaml" in error_line(run("params"))


@pytest.mark.parametrize("name", SAMPLERS)
def test_defaults_of_generate_are_those_of_the_pipeline(here: Path, name: str) -> None:
    model = ("--model", f"models/{name}", "--class", "Bengal", "--count", "1", "--seed", "7")
    assert run("generate", *model).exit_code == 0
    network = TinyDiT.from_pretrained(here / "models" / name)
    weights = one_hot_classes([CLASSES.index("Bengal")], len(CLASSES))
    expected = to_uint8(sample(network, initial_noise(7, [0], SIZE), weights, SAMPLERS[name]))
    image = Image.open(here / "generated/Bengal-7-0.png")
    assert np.array_equal(np.asarray(image), expected[0].numpy())
    assert image.text.items() >= {key: str(value) for key, value in SAMPLERS[name].model_dump().items()}.items()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "not found; it holds the sampler's settings: `dvc repro evaluate` writes it"),
        ("{", "Invalid JSON"),
        ('{"steps": 4}', "method: Field required"),
        (SAMPLERS["generator"].model_dump_json().replace("heun", "rk4"), "method: Input should be 'euler' or 'heun'"),
    ],
)
def test_a_generator_without_its_sampler(here: Path, content: str | None, words: str) -> None:
    shutil.copytree(here / "models/generator", here / "moved")
    if content is not None:
        (here / "moved.sampler.json").write_text(content)
    assert error_line(run("generate", "--model", "moved")).startswith(f"error: moved.sampler.json: {words}")
    assert not (here / "generated").exists()


@pytest.mark.parametrize("command", ["predict", "generate", "verify", "params"])
def test_help_has_examples(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "Examples" in result.stdout
    assert f"tinycats {command}" in result.stdout.split("Examples")[1]


def test_as_a_process(here: Path) -> None:
    """Streams and exit codes of the installed command."""
    draw(here / "cat.png", 1)
    command = [str(Path(sys.executable).with_name("tinycats")), "predict", "--json"]
    good = subprocess.run([*command, "cat.png"], capture_output=True, text=True, check=False)
    assert (good.returncode, good.stderr) == (0, "")
    assert json.loads(good.stdout)[0]["file"] == "cat.png"
    bad = subprocess.run([*command, "cat.png", "--model", "absent"], capture_output=True, text=True, check=False)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("error: absent: not found")
    assert bad.stderr.count("\n") == 1
    usage = subprocess.run([*command, "cat.png", "--top", "0"], capture_output=True, text=True, check=False)
    assert usage.returncode == 2


def test_help_loads_nothing_heavy() -> None:
    heavy = {"torch", "numpy", "onnx", "dvc", "PIL", "pydantic"}
    code = f"import sys, tinycats.cli; print(sorted({heavy} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_a_class_is_found_in_whatever_form_its_letters_are_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    classes = ["cafe\u0301", "Mimi (1)", "Mimi #1", "Cat", "cat", "$x"]
    config = TinyDiTConfig(classes=classes, image_size=16, patch_size=8, width=16, depth=1, heads=1)
    TinyDiT(config).save_pretrained(tmp_path / "models/generator")
    save_sampler(SAMPLERS["generator"], tmp_path / "models/generator")
    assert (
        run("generate", "--class", "caf\u00e9", "--class", " cafe\u0301 ", "--count", "1", "--steps", "1").exit_code
        == 0
    )
    assert len(list((tmp_path / "generated").iterdir())) == 2  # one image and the grid
    assert run("generate", "--count", "1", "--steps", "1", "--out", "all").exit_code == 0
    made = [path.name.casefold() for path in (tmp_path / "all").iterdir()]
    assert len(set(made)) == len(classes) + 1  # also where upper and lower case are the same
    found = {Image.open(path).text["class"] for path in (tmp_path / "all").glob("*-0-0.png")}  # type: ignore[attr-defined]
    assert found == set(classes)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Bengal", "Maine Coon"], ["Bengal", "Maine_Coon"]),
        (["a b", "a_b"], None),
        (["Mimi (1)"], None),
        (["x" * 250, "x" * 249], None),
    ],
)
def test_no_two_names_are_one_file(names: list[str], expected: list[str] | None) -> None:
    stems = file_stems(names)
    assert list(stems.values()) == (expected or list(stems.values()))
    assert len(set(stems.values())) == len(names)
    assert all(len(stem.encode()) <= 210 for stem in stems.values())
    if expected is None:
        assert all(re.fullmatch(r"[\w-]+-[0-9a-f]{6}", stem) for stem in stems.values())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--guidance", "inf"), "--guidance: must be from 0 to 100, got inf"),
        (("--guidance", "1e300"), "--guidance: must be from 0 to 100, got 1e+300"),
        (("--model", "models/student", "--steps", "3"), "made for 1 or 2 or 4 steps, got 3"),
        (("--model", "models/student", "--steps", "8"), "made for 1 or 2 or 4 steps, got 8"),
    ],
)
def test_generate_refuses_what_no_model_was_made_for(here: Path, arguments: tuple[str, ...], words: str) -> None:
    assert words in error_line(run("generate", *arguments))
    assert not (here / "generated").exists()


@pytest.mark.parametrize(
    ("option", "value"),
    [("--count", "1" + 30 * "0"), ("--steps", "1001"), ("--seed", str(2**63)), ("--guidance", "nan")],
)
def test_numbers_that_no_machine_can_serve_are_refused(here: Path, option: str, value: str) -> None:
    result = run("generate", option, value)
    assert result.exit_code == 2
    assert "Invalid value for" in result.output


def test_a_command_about_the_project_works_in_its_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "dvc.yaml").touch()
    (tmp_path / "docs").mkdir()
    monkeypatch.chdir(tmp_path / "docs")
    assert error_line(run("data")) == "error: ../metrics/data.json: not found; `dvc repro preprocess` writes it"


@pytest.mark.parametrize("command", ["status", "runs", "data"])
def test_a_project_that_is_not_there_is_named(tmp_path: Path, command: str) -> None:
    assert "nowhere: not found; name the project's with --root" in error_line(
        run(command, "--root", tmp_path / "nowhere")
    )


def test_a_stage_needs_a_name(tmp_path: Path) -> None:
    result = run("register", "classifier", "--version", "1.2.0", "--stage", "")
    assert error_line(result) == "error: --stage: must be a name, such as prod, got ''"


def test_status_of_a_file_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file: is no directory" in error_line(run("status", "--root", tmp_path / "file", "--prune"))


def test_predict_says_what_can_be_done_about_an_image(here: Path) -> None:
    (here / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + bytes(500))
    assert "such as HEIC: convert it to JPEG" in error_line(run("predict", "a.jpg"))
