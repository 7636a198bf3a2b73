from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image
from typer.testing import CliRunner

from tinycats.adapters.adapter import load_adapted
from tinycats.adapters.training import adapter_training, train_adapter
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.cli import app
from tinycats.export.golden import golden_name
from tinycats.export.onnx_export import export_classifier, export_generators
from tinycats.generator.network import TinyDiT, TinyDiTConfig, one_hot_classes
from tinycats.generator.sampler import load_sampler, sample, save_sampler, student_sampler, to_uint8
from tinycats.publishing import publish as publish_module
from tinycats.publishing.publish import publish
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import write_rows
from tinycats.runtime.params import DataCard, Gate, HubParams, PublishParams, SamplerSettings
from tinycats.runtime.run_settings import RunSettings
from tinycats.verification.model_directory import verify_model

pytestmark = pytest.mark.xdist_group("publish")  # one export serves them all

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["Bengal", "Maine Coon", "other"]
SIZE = 32
SAMPLERS = {
    "generator": SamplerSettings(method="euler", steps=4, guidance=2.0, guidance_low=0.1, guidance_high=0.9),
    "student": student_sampler(2),
}
MODELS = ("classifier", *SAMPLERS)
METRICS: dict[str, Any] = {
    "fetch": {"pictures": 60},
    "preprocess": {
        "read": 62,
        "kept": 60,
        "quarantined": {"undecodable": 1, "duplicate": 1},
        "splits": {"train": 40, "val": 8, "test": 12},
    },
    "evaluate": {
        "classifier": {
            "n": 12,
            "top1": 0.9166,
            "top1_low": 0.646,
            "top1_high": 0.985,
            "ece": 0.05,
            "macro_f1": 0.91,
            "per_class_accuracy": {"Bengal": 0.75},
        },
        "generator": {
            "n_generated": 30,
            "class_agreement": 0.8777,
            "fd_tiny": 3.25,
            "fd_tiny_share": 0.25,
            "fd_tiny_floor": 1.5,
            "diversity_tiny": 0.875,
        },
        "student": {"n_generated": 30, "class_agreement": 0.8444, "fd_tiny": 3.5},
        "few_steps": {"student_1": {"fd_tiny": 4.125}},
    },
    "export": {"classifier": {"max_abs_diff": 1e-6}},
    "quantize": {"classifier": {"top1": {"fp32": 0.9166, "int8": 0.9083}}},
}


def generator_config(classes: list[str] = CLASSES, few_step: bool = False) -> TinyDiTConfig:
    return TinyDiTConfig(classes=classes, image_size=SIZE, patch_size=8, width=32, depth=1, heads=2, few_step=few_step)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository in which all stages before publish have run, on models with random weights."""
    root = tmp_path_factory.mktemp("trained")
    torch.manual_seed(0)
    classifier = Classifier(
        ClassifierConfig(
            classes=CLASSES,
            other="other",
            arch="resnet18",
            image_size=SIZE,
            mean=(0.5,) * 3,
            std=(0.5,) * 3,
            flip_at_test=True,
            temperature=0.75,
            reject_threshold=0.625,
            distance_limit=2.5,
        )
    ).eval()
    classifier.save_pretrained(root / "models/classifier")
    (root / "models/onnx").mkdir()
    export_classifier(classifier, root / "models/onnx/classifier.onnx", opset=18)
    for name, sampler in SAMPLERS.items():
        generator = TinyDiT(generator_config(few_step=name == "student")).eval()
        with torch.no_grad():
            for parameter in generator.parameters():  # it starts as zero, whatever goes in
                parameter += 0.1 * torch.randn_like(parameter)
        generator.save_pretrained(root / "models" / name)
        save_sampler(sampler, root / "models" / name)
        export_generators({root / f"models/onnx/{name}.onnx": generator}, opset=18)
        (root / "models/onnx" / golden_name(name)).write_text(json.dumps({"steps": sampler.steps}))
    shutil.copytree(root / "models/onnx", root / "models/onnx_int8")
    grids = root / "metrics/generator/plots/images"
    grids.mkdir(parents=True)
    (root / "metrics/evaluate").mkdir()
    for path, shade in (
        (grids / "samples_0000100.png", 1),
        (grids / "samples_0001500.png", 2),
        (root / "metrics/evaluate/confusion.png", 3),
        (root / "metrics/evaluate/samples.png", 4),
        (root / "metrics/evaluate/few_steps.png", 5),
    ):
        Image.new("RGB", (4, 4), (shade, 0, 0)).save(path)
    write_metrics(root, METRICS)
    return root


@pytest.fixture
def repository(trained: Path, tmp_path: Path) -> Path:
    """The same with metrics of its own."""
    (tmp_path / "models").symlink_to(trained / "models")
    shutil.copytree(trained / "metrics", tmp_path / "metrics")
    return tmp_path


def write_metrics(root: Path, metrics: dict[str, Any]) -> None:
    for name, content in metrics.items():
        (root / f"metrics/{name}.json").write_text(json.dumps(content))


def settings(**changes: Any) -> PublishParams:
    content: dict[str, Any] = {
        "name": "tinycats",
        "version": None,
        "data": DataCard(title="drawn cats", licence="cc0-1.0", attribution=None),
        "licence": "mit",
        "adapters": [],
        "repository": None,
        "hub": HubParams(repo_id=None, space_id=None, private=False),
        "gates": [Gate(metric="evaluate.classifier.top1", bound=0.9, direction="min")],
    }
    return PublishParams(**(content | changes))


def with_adapters(paths: Sequence[Path]) -> PublishParams:
    return settings(adapters=[str(path) for path in paths])


def run_publish(root: Path, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "settings": settings(),
        "source": "synthetic",
        "classifier_dir": root / "models/classifier",
        "generator_dirs": {name: root / "models" / name for name in SAMPLERS},
        "onnx_dir": root / "models/onnx",
        "onnx_int8_dir": root / "models/onnx_int8",
        "metrics_dir": root / "metrics",
        "output": root / "publish",
        "web": root / "frontend/public/models",
        "frontend": root / "frontend",
        "revision": "0" * 40,
    }
    return publish(**(arguments | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def snippets(card: str, language: str = "python") -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)


def test_the_folder_has_the_layout_of_the_hub(repository: Path) -> None:
    summary = run_publish(repository)
    hub, web = contents(repository / "publish"), contents(repository / "frontend/public/models")
    onnx = {f"{folder}/{name}.onnx" for folder in ("onnx", "onnx_int8") for name in MODELS}
    for_the_page = onnx | {"golden.json", "golden_student.json", "classifier_head.bin", "manifest.json"}
    models = {f"{model}/{name}" for model in MODELS for name in ("config.json", "model.safetensors")}
    samples = {f"samples/{name}.png" for name in ("confusion", "few_steps", "samples", "training")}
    assert set(web) == for_the_page
    samplers = {f"{name}.sampler.json" for name in SAMPLERS}
    assert set(hub) == for_the_page | models | samplers | samples | {"README.md"}
    assert {name: load_sampler(repository / "publish" / name) for name in SAMPLERS} == SAMPLERS
    assert summary["files"] == len(hub)
    assert summary["bytes"] == sum(map(len, hub.values()))
    assert summary["gates"] == {"evaluate.classifier.top1": {"value": 0.9166, "bound": 0.9, "passed": True}}
    last_grid = repository / "metrics/generator/plots/images/samples_0001500.png"
    assert hub["samples/training.png"] == last_grid.read_bytes()
    assert verify_model(repository / "publish/classifier").startswith("classifier, 3 classes")
    assert verify_model(repository / "publish/generator").startswith("generator, 3 classes")
    assert "student, 3 classes" in verify_model(repository / "publish/student")


def test_the_manifest_tells_the_truth(repository: Path) -> None:
    run_publish(repository)
    for folder in (repository / "publish", repository / "frontend/public/models"):
        files = contents(folder)
        manifest = json.loads(files.pop("manifest.json"))
        listed = {entry["path"]: (entry["sha256"], entry["bytes"]) for entry in manifest["files"]}
        assert listed == {path: (hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()}
        for part in MODELS:
            assert set(manifest[part]["files"].values()) <= set(listed)
            session = onnxruntime.InferenceSession(folder / manifest[part]["files"]["fp32"])
            assert [i["name"] for i in manifest[part]["inputs"]] == [i.name for i in session.get_inputs()]
            assert [o["shape"] for o in manifest[part]["outputs"]] == [o.shape for o in session.get_outputs()]
        assert manifest["classifier"]["head"]["path"] in listed
        for part, sampler in SAMPLERS.items():
            golden = json.loads((folder / manifest[part]["golden"]).read_text())
            assert golden["steps"] == manifest[part]["sampler"]["steps"] == sampler.steps
    assert manifest["schema_version"] == 3
    assert not {"sampler", "golden"} & set(manifest)
    assert manifest["hub"] is None
    assert manifest["version"] is None
    assert manifest["revision"] == "0" * 40
    card = {"title": "drawn cats", "licence": "cc0-1.0", "attribution": None}
    assert manifest["data"] == {**card, "source": "synthetic", "synthetic": True}
    assert manifest["classifier"]["classes"] == manifest["generator"]["classes"] == CLASSES
    assert manifest["classifier"]["other"] == "other"
    assert (manifest["classifier"]["temperature"], manifest["classifier"]["reject_threshold"]) == (0.75, 0.625)
    assert (manifest["classifier"]["image_size"], manifest["classifier"]["distance_limit"]) == (SIZE, 2.5)
    assert "crop_size" not in manifest["classifier"]
    assert [output["name"] for output in manifest["classifier"]["outputs"]] == ["probabilities", "distance", "features"]
    assert manifest["classifier"]["inputs"] == [{"name": "images", "type": "uint8", "shape": ["batch", SIZE, SIZE, 3]}]
    assert manifest["generator"]["null_class"] == 3
    assert manifest["generator"]["patch_size"] == 8
    assert [entry["name"] for entry in manifest["generator"]["inputs"]] == ["x", "t", "h", "class_weights"]
    assert manifest["generator"]["sampler"] == {
        "method": "euler", "steps": 4, "guidance": 2.0, "guidance_low": 0.1, "guidance_high": 0.9,
    }  # fmt: skip
    assert (manifest["generator"]["few_step"], manifest["student"]["few_step"]) == (False, True)
    assert manifest["generator"]["time_convention"] == {"noise": 0, "data": 1, "h": 0}
    assert manifest["student"]["sampler"] == {
        "method": "euler", "steps": 2, "guidance": 1, "guidance_low": 0, "guidance_high": 1,
    }  # fmt: skip
    assert manifest["student"]["time_convention"] == {"noise": 0, "data": 1, "h": "step"}
    differ = ("files", "sampler", "golden", "time_convention", "few_step")
    alike = [{k: v for k, v in manifest[part].items() if k not in differ} for part in SAMPLERS]
    assert alike[0] == alike[1]
    assert manifest["metrics"] == {"evaluate": METRICS["evaluate"], "quantize": METRICS["quantize"]}


def test_the_head_turns_the_feature_map_into_an_exact_heat_map(repository: Path) -> None:
    run_publish(repository)
    web = repository / "frontend/public/models"
    head = json.loads((web / "manifest.json").read_text())["classifier"]["head"]
    weights = np.frombuffer((web / head["path"]).read_bytes(), "<f4").reshape(head["shape"])
    classifier = Classifier.from_pretrained(repository / "publish/classifier")
    with torch.inference_mode():
        logits, features = classifier(torch.rand(2, 3, SIZE, SIZE))
    heat = np.einsum("kc,bchw->bkhw", weights, features.numpy())
    assert heat.mean((2, 3)) + classifier.head.bias.detach().numpy() == pytest.approx(logits.numpy(), abs=1e-4)


def test_two_runs_give_the_same_bytes(repository: Path) -> None:
    run_publish(repository)
    first = contents(repository / "publish"), contents(repository / "frontend/public/models")
    run_publish(repository, output=repository / "again", web=repository / "web")
    assert (contents(repository / "again"), contents(repository / "web")) == first


def test_the_card_lists_the_nearest_training_images_of_the_student(repository: Path) -> None:
    run_publish(repository)
    assert "copy its training images" not in (repository / "publish/README.md").read_text()  # nothing was measured
    path = repository / "metrics/evaluate.json"
    metrics = json.loads(path.read_text())
    figures = {"median_generated": 0.5, "median_test": 0.625, "median_ratio": 0.8, "closer_than_p1_of_test": 0.0625}
    metrics["student"]["copying"] = {"features": figures}
    path.write_text(json.dumps(metrics))
    columns = ("model", "picture", "class", "features_distance", "features_nearest")
    rows = [("student", i, "Bengal", 1 - i / 32, f"Bengal/a_{i}.jpg") for i in range(12)]
    rows.append(("teacher", 0, "Bengal", 0.0, "Bengal/99.jpg"))
    write_rows(repository / "metrics/evaluate/nearest.json", [dict(zip(columns, row, strict=True)) for row in rows])
    run_publish(repository)
    text = (repository / "publish/README.md").read_text()
    pairs = re.findall(r"^\| Bengal \| (Bengal/a\\_\d+\.jpg) \| (\S+) \|$", text, flags=re.MULTILINE)
    assert pairs == [(f"Bengal/a\\_{i}.jpg", f"{1 - i / 32:.4g}") for i in reversed(range(2, 12))]
    assert "0.0625 of its images are nearer than the nearest 1% of the test images" in text
    assert "ratio 0.8" in text


def test_the_card_has_the_metrics_and_no_others(repository: Path) -> None:
    run_publish(repository)
    card = ModelCard.load(repository / "publish/README.md")
    assert card.data.license == "mit"
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert len(card.data.eval_results) == len(results) == 8
    assert results["top-1 accuracy"] == 0.9166
    assert results["macro F1"] == 0.91
    assert results["Fréchet distance, tiny"] == 3.25
    assert results["Fréchet distance, tiny, student"] == 3.5
    assert results["diversity (1: generated images differ as much as test images), tiny"] == 0.875
    assert results["class agreement (the classifier's top-1 against the requested class), student"] == 0.8444
    assert all("synthetic" in result.dataset_name for result in card.data.eval_results)
    header = yaml.safe_load(str(card).split("---")[1])
    assert header["model-index"][0]["name"] == "tinycats"
    assert {result["task"]["type"] for result in header["model-index"][0]["results"]} == {
        "image-classification",
        "unconditional-image-generation",
    }
    text = card.text
    assert not re.search(r"\bFID\b", str(card))
    assert "synthetic" in text
    assert "cc0-1.0" in text
    assert "60 of 62 images were used: 40 train, 8 val, 12 test." in text
    assert "| Fréchet distance, tiny | 3.25 |" in text
    assert "| Fréchet distance, tiny: 0 is that of training images, 1 of noise | 0.25 |" in text
    assert "| Fréchet distance, tiny: of as many training images | 1.5 |" in text
    assert "a frozen ImageNet network, tiny, which took part in no training" in text.replace("\n", " ")
    assert "| top-1 accuracy | 0.9166 (0.646 to 0.985) |" in text
    assert "| top1 low |" not in text
    assert "probability is below 0.625" in text
    assert "distance is above 2.500" in text
    assert "divided by 0.750" in text.replace("\n", " ")
    assert "| Fréchet distance, tiny | 3.5 |" in text.split("### Student")[1]
    assert "| onnx_int8/student.onnx | student, int8 |" in text
    assert "in 4 steps" in text.replace("\n", " ")
    assert text.count("(samples/few_steps.png)") == 1
    rows = text.split("| | steps | Fréchet distance | kernel distance | class agreement |")[1].splitlines()[2:5]
    assert rows == [
        "| teacher | 4 | 3.25 |  | 0.8777 |",
        "| student | 2 | 3.5 |  | 0.8444 |",
        "| student | 1 | 4.125 |  |  |",
    ]
    assert "| evaluate.classifier.top1 | 0.9166 | 0.9 |" in text
    assert not re.search(r"{[{%#]|[%#}]}|\n\n\n|\bNone\b", text.split("```")[0])
    # Every row of a table follows its header without a gap, else the Hub shows no table.
    assert not re.search(r"\|\n\n\|", text)


def test_fid_is_named_where_it_was_measured(repository: Path) -> None:
    write_metrics(repository, {"evaluate": METRICS["evaluate"] | {"inception": {"fid": 42.5, "n_real": 12}}})
    data = DataCard(title="my photos", licence="unknown", attribution=None)
    run_publish(repository, settings=settings(data=data), source="image_folder")
    card = ModelCard.load(repository / "publish/README.md")
    assert {result.metric_name: result.metric_value for result in card.data.eval_results}["FID"] == 42.5
    assert "| FID | 42.5 |" in card.text
    assert "synthetic" not in str(card)


def test_numbers_that_were_not_measured_are_absent(repository: Path) -> None:
    for name in ("fetch", "preprocess", "export", "quantize"):
        (repository / f"metrics/{name}.json").unlink()
    write_metrics(repository, {"evaluate": {"classifier": {"top1": 0.95}}})
    run_publish(repository)
    card = ModelCard.load(repository / "publish/README.md")
    assert [result.metric_name for result in card.data.eval_results] == ["top-1 accuracy"]
    assert "class agreement" not in card.text
    assert "### Student" not in card.text
    assert "### int8" not in card.text


def test_the_code_in_the_card_runs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_publish(repository)
    folder = repository / "publish"
    code = snippets((folder / "README.md").read_text())
    assert len(code) == 4
    student = 'name = "student"'
    assert student in code[3]
    code.append(code[3].replace(student, 'name = "generator"').replace("image_onnx", "image_teacher"))
    before = set(contents(folder))
    outputs = []
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for snippet in code:
            exec(compile(snippet, "README.md", "exec"), {"__name__": "__main__"})
            outputs.append(capsys.readouterr().out)
    assert set(contents(folder)) - before == {"image.png", "image_onnx.png", "image_teacher.png"}
    for name in ("image_onnx.png", "image_teacher.png"):
        assert Image.open(folder / name).size == (SIZE, SIZE)
    # The same steps as the sampler's, of which test_export_onnx.py knows that other implementations follow them
    sampler = SAMPLERS["student"]
    noise = torch.from_numpy(np.random.default_rng(7).standard_normal((4, 3, SIZE, SIZE), dtype=np.float32))
    expected = sample(TinyDiT.from_pretrained(folder / "student"), noise, one_hot_classes([0] * 4, 3), sampler)
    shown = np.asarray(Image.open(folder / "image_onnx.png")).astype(int)
    assert np.abs(shown - to_uint8(expected)[0].numpy()).max() <= 1
    for output in (outputs[1], outputs[2]):  # both name a class and its probability
        name, probability = output.rsplit(maxsplit=1)
        assert name in CLASSES
        assert 1 / 3 <= float(probability) <= 1
    # A picture of the model's own size needs no resizing: torch and ONNX Runtime must agree on it.
    assert float(outputs[1].split()[-1]) == pytest.approx(float(outputs[2].split()[-1]), abs=1e-4)


def test_the_commands_in_the_card_run(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_publish(repository, settings=with_adapters([adapt(repository, repository / "adapters/mimi", "Mimi")]))
    monkeypatch.chdir(repository / "publish")
    lines = "".join(snippets(Path("README.md").read_text(), "bash")).splitlines()
    commands = [line for line in lines if line.startswith("tinycats ")]
    assert [command.split()[1] for command in commands] == ["generate", "merge"]
    assert set(lines) - set(commands) == {"pip install 'tinycats[adapt]'"}
    for command in commands:
        done = CliRunner().invoke(app, command.split()[1:])
        assert done.exit_code == 0, done.output
    assert Image.open("generated/Mimi-0-3.png").size == (SIZE, SIZE)
    assert TinyDiT.from_pretrained(Path("merged")).config.classes == [*CLASSES, "Mimi"]
    assert load_sampler(Path("merged")) == SAMPLERS["generator"]


def test_the_card_links_the_notebooks_where_the_code_is_on_github(repository: Path) -> None:
    run_publish(repository)
    assert "colab" not in (repository / "publish/README.md").read_text().lower()
    run_publish(repository, settings=settings(repository="ann/tinycats"))
    card = (repository / "publish/README.md").read_text()
    links = re.findall(r"\]\((https://colab\.research\.google\.com/github/ann/tinycats/blob/main/([^)]+))\)", card)
    assert len(links) == 3
    assert all((ROOT / path).is_file() for _, path in links)
    assert "\n\n\n" not in card.split("```")[0]


def test_the_card_says_how_to_load_from_the_hub(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """tests/pipeline/test_hub.py does what it says."""
    monkeypatch.setattr(publish_module, "upload", lambda *_: "1" * 40)
    run_publish(repository, settings=settings(hub=HubParams(repo_id="ann/cats", space_id=None, private=False)))
    card = (repository / "publish/README.md").read_text()
    assert snippets(card, "bash") == ["hf download ann/cats --local-dir cats\n"]
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda repo_id, **_: repository / "publish")
    loaded: dict[str, Any] = {}
    exec(compile(snippets(card)[-1], "README.md", "exec"), loaded)
    assert (loaded["student"].few_step, loaded["student"].settings) == (True, SAMPLERS["student"])
    assert loaded["classifier"].classes == CLASSES


def test_a_version_is_in_manifest_and_card_and_a_tag(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_publish(repository)
    assert "This is version" not in (repository / "publish/README.md").read_text()
    uploads: list[tuple[Any, ...]] = []
    monkeypatch.setattr(publish_module, "upload", lambda *arguments: uploads.append(arguments) or "1" * 40)
    hub = HubParams(repo_id="ann/cats", space_id=None, private=False)
    tags = [
        run_publish(repository, settings=settings(hub=hub, version=version))["hub"]["revision"]
        for version in (None, "1.2.0")
    ]
    assert tags[0] != tags[1]
    assert [upload[-1] for upload in uploads] == [None, "1.2.0"]
    for folder in ("publish", "frontend/public/models"):
        assert json.loads((repository / folder / "manifest.json").read_text())["version"] == "1.2.0"
    assert (
        "This is version 1.2.0, the tag `v1.2.0` of this repository." in (repository / "publish/README.md").read_text()
    )


def test_a_page_that_cannot_be_built_uploads_nothing(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_module, "upload", lambda *_: pytest.fail("something was uploaded"))
    (repository / "frontend/public").mkdir(parents=True)
    hub = settings(hub=HubParams(repo_id="ann/cats", space_id="ann/page", private=False))
    nothing_changed(repository, lambda: run_publish(repository, settings=hub), "run `make web` first")
    (repository / "frontend/node_modules/vite").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(repository / "frontend"))
    nothing_changed(repository, lambda: run_publish(repository, settings=hub), "the page needs Node")
    node = repository / "frontend/node"
    node.write_text("#!/bin/sh\necho 'error: there is no cat' >&2\nexit 1\n")
    node.chmod(0o755)
    words = "publish.hub.space_id: the page cannot be built: there is no cat"
    nothing_changed(repository, lambda: run_publish(repository, settings=hub), words)


def nothing_changed(root: Path, action: Callable[[], object], words: str) -> None:
    """`action` fails with one line, and leaves what was published before, and nothing else."""
    run_publish(root)
    before = contents(root / "publish"), contents(root / "frontend")
    names = sorted(path.name for path in root.iterdir())
    with pytest.raises((UserError, OSError)) as caught:
        action()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (contents(root / "publish"), contents(root / "frontend")) == before
    assert sorted(path.name for path in root.iterdir()) == names
    assert sorted(path.name for path in (root / "frontend/public").iterdir()) == ["models"]


def test_a_failed_gate_publishes_nothing(repository: Path) -> None:
    strict = settings(gates=[Gate(metric="evaluate.classifier.top1", bound=0.99, direction="min")])
    with pytest.raises(UserError, match=r"evaluate\.classifier\.top1 is 0\.9166, must be at least 0\.99"):
        run_publish(repository, settings=strict)
    assert not (repository / "publish").exists()
    assert not (repository / "frontend").exists()
    nothing_changed(repository, lambda: run_publish(repository, settings=strict), "must be at least 0.99")


def test_disk_full_in_the_middle(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def publish_on_a_full_disk() -> None:
        monkeypatch.setattr(publish_module, "write_card", full)  # all big files are copied by then
        run_publish(repository)

    nothing_changed(repository, publish_on_a_full_disk, "No space left on device")


def test_a_missing_file(repository: Path) -> None:
    (repository / "partly").mkdir()
    shutil.copyfile(repository / "models/onnx/classifier.onnx", repository / "partly/classifier.onnx")
    nothing_changed(
        repository,
        lambda: run_publish(repository, onnx_int8_dir=repository / "partly"),
        "partly/generator.onnx: not found",
    )


def test_a_file_that_is_no_onnx(repository: Path) -> None:
    shutil.copytree(repository / "models/onnx", repository / "broken")
    (repository / "broken/generator.onnx").write_bytes(b"no model")
    nothing_changed(repository, lambda: run_publish(repository, onnx_dir=repository / "broken"), "is not an ONNX file")


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_sampler_that_is_missing_or_wrong(repository: Path, name: str) -> None:
    trained = (repository / "models").resolve()
    (repository / "models").unlink()
    shutil.copytree(trained, repository / "models")
    file = repository / f"models/{name}.sampler.json"
    whole = file.read_text()

    def publish_with(content: str | None) -> None:
        if content is None:
            file.unlink()
        else:
            file.write_text(content)
        run_publish(repository)

    for content, words in (
        (None, f"{name}.sampler.json: not found; it holds the sampler's settings"),
        ("{", f"{name}.sampler.json: Invalid JSON"),
        (whole.replace('"steps": ', '"steps": -'), f"{name}.sampler.json: steps: Input should be greater"),
    ):
        file.write_text(whole)
        nothing_changed(repository, partial(publish_with, content), words)


@pytest.mark.parametrize("name", SAMPLERS)
def test_models_of_other_classes(repository: Path, name: str) -> None:
    TinyDiT(generator_config(["a", "b", "c"])).save_pretrained(repository / "others")
    save_sampler(SAMPLERS[name], repository / "others")
    directories = {generator: repository / "models" / generator for generator in SAMPLERS} | {
        name: repository / "others"
    }
    nothing_changed(
        repository,
        lambda: run_publish(repository, generator_dirs=directories),
        "others: has a class 'a' that",
    )


def adapt(root: Path, output: Path, name: str) -> Path:
    """An adapter of the generator in `root`."""
    images = np.zeros((5, SIZE, SIZE, 3), np.uint8)
    base = root / "models/generator"
    train_adapter(
        images=images, base=base, output=output, name=name, like="Bengal", training=adapter_training(1), rank=2, seed=0,
        run=RunSettings(root / "runs"),
    )  # fmt: skip
    shutil.rmtree(root / "runs")
    return output


def test_adapters_are_published_beside_their_generator(repository: Path) -> None:
    adapters = [adapt(repository, repository / f"adapters/{name.lower()}", name) for name in ("Mimi", "Tom")]
    run_publish(repository, settings=with_adapters(adapters))
    folder = repository / "publish"
    published = contents(folder)
    files = {
        f"adapters/{name}/adapter_{file}" for name in ("mimi", "tom") for file in ("config.json", "model.safetensors")
    }
    assert files == {path for path in published if path.startswith("adapters/")}
    assert verify_model(folder / "adapters/tom").startswith("LoRA adapter for ")
    assert load_adapted(folder / "generator", folder / "adapters/tom").config.classes == [*CLASSES, "Tom"]
    manifest = json.loads(published["manifest.json"])
    assert files <= {file["path"] for file in manifest["files"]}
    weights = hashlib.sha256(published["generator/model.safetensors"]).hexdigest()
    mimi = {"path": "adapters/mimi", "name": "Mimi", "like": "Bengal", "rank": 2, "base_sha256": weights}
    assert manifest["adapters"] == [mimi, mimi | {"path": "adapters/tom", "name": "Tom"}]
    assert "| adapters/mimi | Mimi | Bengal | 2 |\n| adapters/tom" in published["README.md"].decode()


def test_adapters_that_cannot_be_published(repository: Path) -> None:
    mimi = adapt(repository, repository / "adapters/mimi", "Mimi")
    (repository / "empty").mkdir()
    again = Path(shutil.copytree(mimi, repository / "others/mimi"))
    torch.manual_seed(1)
    TinyDiT(TinyDiT.from_pretrained(repository / "models/generator").config).save_pretrained(repository / "new")
    save_sampler(SAMPLERS["generator"], repository / "new")
    other = {"generator": repository / "new", "student": repository / "models/student"}
    for changes, words in (
        ({"settings": with_adapters([repository / "absent"])}, "absent/adapter_config.json: not found"),
        ({"settings": with_adapters([repository / "empty"])}, "empty/adapter_config.json: not found"),
        ({"settings": with_adapters([mimi, again])}, "publish.adapters: two directories are called mimi"),
        ({"settings": with_adapters([mimi]), "generator_dirs": other}, "made for another generator"),
    ):
        nothing_changed(repository, partial(run_publish, repository, **changes), words)


def test_metrics_that_are_not_finite(repository: Path) -> None:
    def publish_nan() -> None:
        write_metrics(repository, {"quantize": {"classifier": {"top1": float("nan")}}})
        run_publish(repository)

    nothing_changed(repository, publish_nan, "quantize.json: holds NaN")


def test_the_stage(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["publish"]["gates"] = [{"metric": "evaluate.generator.class_agreement", "bound": 0.85, "direction": "min"}]
    (repository / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(repository)
    runpy.run_path(str(ROOT / "stages/publish.py"), run_name="__main__")
    summary = json.loads((repository / "metrics/publish.json").read_text())
    assert summary["gates"]["evaluate.generator.class_agreement"]["value"] == 0.8777
    assert summary["files"] == len(contents(repository / "publish"))
    manifest = json.loads((repository / "frontend/public/models/manifest.json").read_text())
    assert manifest["revision"] is None
    assert manifest["generator"]["sampler"]["steps"] == 4
    assert manifest["student"]["sampler"] == student_sampler(2).model_dump()

    shutil.rmtree(repository / "publish")
    write_metrics(repository, {"evaluate": {"generator": {"class_agreement": 0.0769}}})  # what noise gets
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "stages/publish.py"), run_name="__main__")
    assert stopped.value.code == (
        "error: publish.gates: 1 of 1 failed, nothing is published: "
        "evaluate.generator.class_agreement is 0.0769, must be at least 0.85"
    )
    assert not (repository / "publish").exists()
