"""LoRA adapters: learned from photos, read by peft, merged, checked. A small generator of three colours learns a fourth."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner, Result

from tests.conftest import SIZE
from tests.unit.test_verify import complaint
from tests.unit.training import run_generator
from tinycats.adapters.adapter import add_class, import_peft, load_adapted, read_adapter
from tinycats.adapters.training import AdapterResult, adapter_training, train_adapter
from tinycats.cli import app
from tinycats.generator.network import TinyDiT, one_hot_classes
from tinycats.generator.sampler import initial_noise, load_sampler, sample, save_sampler, student_sampler
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import SamplerSettings
from tinycats.runtime.run_settings import RunSettings
from tinycats.verification.model_directory import verify_model

pytestmark = pytest.mark.xdist_group("adapters")  # one adapter serves them all

SAMPLER = SamplerSettings(method="euler", steps=8, guidance=1.0, guidance_low=0.1, guidance_high=0.9)
YELLOW = np.array([230, 210, 40])


def draw_photos(folder: Path, count: int) -> np.ndarray:
    """PNG files of noisy yellow, larger than the generator's pictures; returns what they are at its size."""
    rng = np.random.default_rng(1)
    folder.mkdir()
    pictures = []
    for number in range(count):
        pixels = (YELLOW + rng.normal(0, 20, (SIZE, SIZE, 3))).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).resize((2 * SIZE, 2 * SIZE), Image.Resampling.NEAREST).save(
            folder / f"{number:02d}.png"
        )
        pictures.append(pixels)
    return np.stack(pictures)


@pytest.fixture(scope="module")
def base(processed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generator of red, green and blue."""
    path = tmp_path_factory.mktemp("base")
    run_generator(processed, path, steps=150, lr=0.004)
    (path / "models").mkdir()
    save_sampler(SAMPLER, path / "models/generator")
    return (path / "model").rename(path / "models/generator")


@pytest.fixture(scope="module")
def made(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AdapterResult]:
    path = tmp_path_factory.mktemp("made")
    result = train_adapter(
        images=draw_photos(path / "photos", 6), base=base, output=path / "adapter", name="Mimi", like=None,
        training=adapter_training(60).model_copy(update={"lr": 0.01, "precision": "fp32"}), rank=4, seed=0,
        run=RunSettings(path / "runs", device="cpu"),
    )  # fmt: skip
    return path / "adapter", result


@pytest.fixture
def adapter(made: tuple[Path, AdapterResult], tmp_path: Path) -> Path:
    """A copy, to damage."""
    return Path(shutil.copytree(made[0], tmp_path / "adapter"))


def pictures(model: TinyDiT, name: str) -> torch.Tensor:
    config = model.config
    weights = one_hot_classes([config.classes.index(name)] * 4, config.num_classes)
    return sample(model, initial_noise(0, range(4), config.image_size), weights, SAMPLER)


def colour(model: TinyDiT, name: str) -> np.ndarray:
    return ((pictures(model, name).mean((0, 2, 3)) + 1) * 127.5).numpy()


def test_the_animal_is_learned(base: Path, made: tuple[Path, AdapterResult]) -> None:
    directory, result = made
    assert result.error_after < 0.8 * result.error_before
    assert result.like in ("red", "green")  # yellow is between them
    before, after = colour(TinyDiT.from_pretrained(base), result.like), colour(load_adapted(base, directory), "Mimi")
    assert np.abs(after - YELLOW).sum() < 0.5 * np.abs(before - YELLOW).sum()


def test_pefts_own_loader_reads_it_and_merging_changes_nothing(base: Path, made: tuple[Path, AdapterResult]) -> None:
    directory, result = made
    model = add_class(TinyDiT.from_pretrained(base), "Mimi", result.like)
    adapted = import_peft().PeftModel.from_pretrained(model, str(directory)).eval()
    assert adapted.peft_config["default"].r == 4
    x, t = torch.randn(4, 3, SIZE, SIZE), torch.tensor([0.1, 0.4, 0.7, 0.9])
    weights = one_hot_classes([0, 1, 3, 4], 4)  # two colours, Mimi and the null class
    with torch.inference_mode():
        expected = adapted(x, t, torch.zeros(4), weights)
        merged = load_adapted(base, directory)(x, t, torch.zeros(4), weights)
        with adapted.disable_adapter():
            untouched = adapted(x, t, torch.zeros(4), weights)
        plain = TinyDiT.from_pretrained(base)(x[:2], t[:2], torch.zeros(2), one_hot_classes([0, 1], 3))
    torch.testing.assert_close(merged, expected, atol=1e-4, rtol=1e-4)
    assert (merged - untouched).abs().max() > 0.1
    torch.testing.assert_close(untouched[:2], plain, atol=1e-5, rtol=1e-5)  # one more class is all that is new


def test_the_same_seed_gives_the_same_adapter(base: Path, made: tuple[Path, AdapterResult], tmp_path: Path) -> None:
    images = draw_photos(tmp_path / "photos", 5)
    files = []
    for name in ("first", "second"):
        train_adapter(
            images=images, base=base, output=tmp_path / name / "adapter", name="Mimi", like="red",
            training=adapter_training(4), rank=2, seed=0, run=RunSettings(tmp_path / name, device="cpu"),
        )  # fmt: skip
        files.append((tmp_path / name / "adapter/adapter_model.safetensors").read_bytes())
    assert files[0] == files[1]


def test_verify_describes_it(base: Path, made: tuple[Path, AdapterResult]) -> None:
    directory, result = made
    assert verify_model(directory) == (
        f"LoRA adapter for {base}, Mimi (starting as {result.like}), {SIZE} px, rank 4, "
        f"{read_adapter(directory).parameters:,} parameters"
    )


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_verify_names_the_missing_file(adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    assert f"{name}: not found" in complaint(adapter)


def test_verify_names_what_is_wrong_in_the_tensors(adapter: Path) -> None:
    path = adapter / "adapter_model.safetensors"
    whole = load_file(path)
    embedding, lora = "base_model.model.class_embedding.weight", "base_model.model.blocks.0.mlp.0.lora_A.weight"
    path.write_bytes(path.read_bytes()[:-1])
    assert "not an intact safetensors file" in complaint(adapter)
    for tensors, words in (
        ({name: tensor for name, tensor in whole.items() if name != embedding}, f"no {embedding}"),
        (whole | {"stray": torch.zeros(1)}, "unknown stray"),
        (whole | {lora: torch.zeros(3, 32)}, f"{lora} is [3, 32], not [4, 32]"),
        (whole | {lora: torch.full((4, 32), torch.nan)}, f"{lora} has values that are not finite"),
        ({}, "and "),
    ):
        save_file(tensors, path)
        assert words in complaint(adapter)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "IA3"}, "peft_type: Input should be 'LORA'"),
        ({"r": 0}, "r: Input should be greater than or equal to 1"),
        ({"r": 2, "lora_alpha": 2}, "is [4, 32], not [2, 32]"),
        ({"lora_alpha": 1e9}, "lora_alpha: must be 4, as r is, got 1000000000.0"),
        ({"lora_alpha": float("nan")}, "lora_alpha: must be 4"),
        ({"lora_alpha": "x"}, "lora_alpha: Input should be a valid number"),
        ({"target_modules": "nope"}, "target_modules: must be blocks"),
        ({"modules_to_save": None}, "modules_to_save: must be ['class_embedding'], got None"),
        ({"rank_pattern": {".*": 7}}, "rank_pattern: must be absent, null, false or empty, got {'.*': 7}"),
        ({"layers_to_transform": [0]}, "layers_to_transform: must be absent"),
        ({"use_dora": True}, "use_dora: must be absent"),
        ({"use_rslora": True}, "use_rslora: must be absent"),
        ({"bias": "all"}, "bias: must be none, got 'all'"),
        ({"auto_mapping": None}, "`tinycats adapt` writes"),
        ({"auto_mapping": {"base_model_class": "GPT2"}}, "auto_mapping.base_model_class"),
    ],
)
def test_verify_names_what_is_wrong_in_the_config(adapter: Path, changes: dict[str, object], words: str) -> None:
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    assert words in complaint(adapter)


@pytest.mark.parametrize(
    ("key", "words"), [("like", "like: 'absent' is none of the classes"), ("classes", "comes twice")]
)
def test_verify_names_what_is_wrong_with_the_class(adapter: Path, key: str, words: str) -> None:
    path = adapter / "adapter_config.json"
    content = json.loads(path.read_text())
    if key == "like":
        content["auto_mapping"]["like"] = "absent"
    else:
        content["auto_mapping"]["config"]["classes"][-1] = content["auto_mapping"]["config"]["classes"][0]
    path.write_text(json.dumps(content))
    assert words in complaint(adapter)


def test_another_base_is_refused(base: Path, made: tuple[Path, AdapterResult], tmp_path: Path) -> None:
    other = TinyDiT.from_pretrained(base)
    with torch.no_grad():
        other.final.bias += 0.01
    other.save_pretrained(tmp_path / "weights")
    TinyDiT(other.config.model_copy(update={"classes": ["a", "b", "c"]})).save_pretrained(tmp_path / "classes")
    for name in ("weights", "classes"):
        with pytest.raises(UserError, match=f"made for another generator .* has other {name}"):
            load_adapted(tmp_path / name, made[0])


def test_a_student_is_refused(base: Path, tmp_path: Path) -> None:
    config = TinyDiT.from_pretrained(base).config.model_copy(update={"few_step": True})
    TinyDiT(config).save_pretrained(tmp_path / "student")
    images = np.zeros((5, SIZE, SIZE, 3), np.uint8)
    with pytest.raises(UserError, match="student: is a student, which can only learn from its teacher"):
        train_adapter(
            images=images,
            base=tmp_path / "student",
            output=tmp_path / "adapter",
            name="Mimi",
            like="red",
            training=adapter_training(1),
            seed=0,
            run=RunSettings(tmp_path),
        )


def make_student(base: Path, folder: Path, shift: float = 0.0) -> Path:
    """A student of `base` beside a copy of it: the same network, each weight moved by `shift`."""
    shutil.copytree(base, folder / "generator")
    teacher = TinyDiT.from_pretrained(base)
    student = TinyDiT(teacher.config.model_copy(update={"few_step": True}))
    student.load_state_dict({name: tensor + shift for name, tensor in teacher.state_dict().items()})
    student.save_pretrained(folder / "student")
    save_sampler(student_sampler(4), folder / "student")
    return folder / "student"


def test_the_student_of_its_base_learns_the_animal_too(
    base: Path, made: tuple[Path, AdapterResult], tmp_path: Path
) -> None:
    adapter, result = made
    student = make_student(base, tmp_path)
    model = load_adapted(student, adapter)
    assert model.config.few_step
    weights = one_hot_classes([model.config.classes.index("Mimi")] * 4, model.config.num_classes)
    images = sample(model, initial_noise(0, range(4), SIZE), weights, student_sampler(4))
    found = ((images.mean((0, 2, 3)) + 1) * 127.5).numpy()
    assert (
        np.abs(found - YELLOW).sum() < 0.5 * np.abs(colour(TinyDiT.from_pretrained(base), result.like) - YELLOW).sum()
    )


def test_the_student_keeps_what_it_learned_itself(base: Path, made: tuple[Path, AdapterResult], tmp_path: Path) -> None:
    moved = load_adapted(make_student(base, tmp_path, shift=0.25), made[0]).state_dict()
    for name, tensor in load_adapted(base, made[0]).state_dict().items():
        torch.testing.assert_close(moved[name], tensor + 0.25, msg=name)


def test_a_student_without_its_teacher_takes_no_adapter(
    base: Path, made: tuple[Path, AdapterResult], tmp_path: Path
) -> None:
    student = make_student(base, tmp_path)
    other = TinyDiT.from_pretrained(base)
    other.config = other.config.model_copy(update={"classes": ["a", "b", "c"]})
    shutil.rmtree(tmp_path / "generator")
    with pytest.raises(UserError, match=r"takes an adapter from its teacher; put that into .*generator"):
        load_adapted(student, made[0])
    other.save_pretrained(tmp_path / "generator")
    with pytest.raises(UserError, match=r"is a student of another generator than .*generator"):
        load_adapted(student, made[0])
    torch.nn.init.zeros_((retrained := TinyDiT.from_pretrained(base)).final.weight)
    shutil.rmtree(tmp_path / "generator")
    retrained.save_pretrained(tmp_path / "generator")
    with pytest.raises(UserError, match=r"was made for another generator .* which has other weights"):
        load_adapted(student, made[0])


@pytest.fixture
def here(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the generator, and photos of Mimi."""
    (tmp_path / "models").symlink_to(base.parent)
    draw_photos(tmp_path / "photos", 6)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def error_line(result: Result) -> str:
    assert result.exit_code == 1, result.output
    (line,) = result.output.strip().splitlines()
    assert line.startswith("error: ")
    return line


def png(folder: Path) -> dict[str, bytes]:
    return {path.name: np.asarray(Image.open(path)).tobytes() for path in folder.glob("*.png")}


def test_adapt_generate_and_merge(here: Path) -> None:
    few = ("--steps", "3", "--count", "2")
    assert run("generate", *few, "--class", "red", "--out", "before").exit_code == 0
    (here / "photos/notes.txt").write_text("no photo")
    shutil.copy(here / "photos/00.png", here / "photos/again.png")
    made = run("adapt", "photos", "--name", "Mimi", "--breed", "red", "--steps", "20", "--rank", "2")
    assert made.exit_code == 0, made.output
    assert "left out: again.png (the same image as 00.png), notes.txt (undecodable)" in made.stderr
    assert made.stdout.startswith("adapters/mimi: Mimi, from 6 photos, starting as red; error of the predicted photos ")
    assert "adapters/mimi: LoRA adapter for models/generator, Mimi" in run("verify", "adapters/mimi").stdout

    assert run("generate", *few, "--adapter", "adapters/mimi", "--out", "mimi").exit_code == 0
    assert sorted(png(here / "mimi")) == ["Mimi-0-0.png", "Mimi-0-1.png", "grid.png"]
    assert png(here / "mimi")["grid.png"] != png(here / "before")["grid.png"]
    assert run("generate", *few, "--class", "red", "--out", "after").exit_code == 0
    assert png(here / "after") == png(here / "before")

    (here / "other.sampler.json").write_text("{}")
    refused = run("merge", "adapters/mimi", "--out", "other")
    assert error_line(refused) == "error: other.sampler.json: already exists; choose another --out"
    assert run("merge", "adapters/mimi", "--out", "merged").exit_code == 0
    assert verify_model(here / "merged").startswith(f"generator, 4 classes, {SIZE} px")
    assert run("generate", *few, "--model", "merged", "--class", "Mimi", "--out", "from_merged").exit_code == 0
    assert png(here / "from_merged") == png(here / "mimi")
    assert load_sampler(here / "merged") == load_sampler(here / "models/generator") == SAMPLER
    assert "merged: already exists" in error_line(run("merge", "adapters/mimi", "--out", "merged"))


def test_what_is_refused_in_one_line_leaves_nothing(here: Path) -> None:
    draw_photos(here / "four", 4)
    (here / "prose").mkdir()
    (here / "prose/a.jpg").write_text("no photo")
    (here / "empty").mkdir()
    arguments = ("--name", "Mimi", "--steps", "1")
    for command, words in (
        (("absent", *arguments), "absent: not found"),
        (("empty", *arguments), "empty: has no photos"),
        (("prose", *arguments), "has no photos; left out: a.jpg (undecodable)"),
        (("four", *arguments), "4 photos are too few; an adapter needs at least 5"),
        (("photos", "--name", "red"), "--name: 'red' is already a class of models/generator"),
        (("photos", "--name", "/"), "--name: must have letters"),
        (("photos", *arguments, "--breed", "rod"), "--breed: no class 'rod'; did you mean red?"),
        (("photos", *arguments, "--base", "absent"), "absent: not found"),
        (("photos", *arguments, "--rank", "100000"), "--rank: at most "),
        (("photos", "--name", "a\nb"), "no control characters"),
        (("photos", *arguments, "--out", "models"), "models: exists and is not an adapter"),
    ):
        assert words in error_line(run("adapt", *command))
    assert not (here / "adapters").exists()
    missing = error_line(run("generate", "--adapter", "adapters/mimi"))
    assert missing == "error: adapters/mimi: not found; `tinycats adapt` makes adapters"
    assert missing == error_line(run("merge", "adapters/mimi", "--out", "merged"))
    assert "absent: not found; `dvc repro` or `dvc pull` brings the models, --base names another" in error_line(
        run("merge", "photos", "--base", "absent", "--out", "merged")
    )
    assert "photos/adapter_config.json: not found" in error_line(run("merge", "photos", "--out", "merged"))


def test_the_adapter_of_another_animal_is_not_overwritten(here: Path) -> None:
    few = ("--breed", "red", "--steps", "1", "--rank", "1")
    assert run("adapt", "photos", "--name", "Mimi (1)", *few).exit_code == 0
    before = (here / "adapters/mimi_1/adapter_config.json").read_bytes()
    for name in ("Mimi #1", "mimi (1)"):
        line = error_line(run("adapt", "photos", "--name", name, *few))
        assert line == "error: adapters/mimi_1: holds the adapter of 'Mimi (1)'; name another --out"
    assert (here / "adapters/mimi_1/adapter_config.json").read_bytes() == before
    assert run("adapt", "photos", "--name", " Mimi\u00a0(1)", *few).exit_code == 0  # the same name: made anew


def test_more_photos_than_an_adapter_is_for_are_used_with_a_warning(here: Path) -> None:
    draw_photos(here / "many", 31)
    made = run("adapt", "many", "--name", "Mimi", "--breed", "red", "--steps", "1")
    assert made.exit_code == 0
    assert "31 photos are more than the 30" in made.stderr
    assert "from 31 photos" in made.stdout


def test_without_peft_it_is_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install 'tinycats[adapt]'" in error_line(run("adapt", "photos", "--name", "Mimi", "--steps", "1"))
