from __future__ import annotations

import hashlib
import json
import re
import runpy
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from PIL import Image

from tinycats.errors import UserError
from tinycats.export.onnx_export import export_classifier, export_generator
from tinycats.models.classifier import Classifier, ClassifierConfig
from tinycats.models.sampler import SamplerSettings
from tinycats.models.tinydit import TinyDiT, TinyDiTConfig
from tinycats.models.verify import verify_model
from tinycats.publishing import publish as publish_module
from tinycats.publishing.gates import Gate
from tinycats.publishing.publish import DataInfo, publish

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["Bengal", "Maine Coon", "other"]
SIZE = 32
SAMPLER = SamplerSettings("euler", 4, 2.0, 0.1, 0.9)
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
        "generator": {"n_generated": 30, "class_agreement": 0.8777, "fd_classifier": 3.25, "fd_classifier_floor": 1.5},
    },
    "export": {"classifier": {"max_abs_diff": 1e-6}},
    "quantize": {"classifier": {"top1": {"fp32": 0.9166, "int8": 0.9083}}},
}


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
            flip_at_test=True,
            temperature=0.75,
            reject_threshold=0.625,
        )
    ).eval()
    generator = TinyDiT(
        TinyDiTConfig(classes=CLASSES, image_size=SIZE, patch_size=8, width=32, depth=1, heads=2)
    ).eval()
    classifier.save_pretrained(root / "models/classifier")
    generator.save_pretrained(root / "models/generator")
    (root / "models/onnx").mkdir()
    export_classifier(classifier, root / "models/onnx/classifier.onnx", opset=18)
    export_generator(generator, root / "models/onnx/generator.onnx", opset=18)
    (root / "models/onnx/golden.json").write_text('{"steps": 4}\n')
    shutil.copytree(root / "models/onnx", root / "models/onnx_int8")
    grids = root / "metrics/generator/plots/images"
    grids.mkdir(parents=True)
    (root / "metrics/evaluate").mkdir()
    for path, shade in (
        (grids / "samples_0000100.png", 1),
        (grids / "samples_0001500.png", 2),
        (root / "metrics/evaluate/confusion.png", 3),
        (root / "metrics/evaluate/samples.png", 4),
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


def run_publish(root: Path, **changes: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "name": "tinycats",
        "licence": "mit",
        "gates": [Gate("evaluate.classifier.top1", 0.9, "min")],
        "data": DataInfo("drawn cats", "cc0-1.0", "synthetic"),
        "sampler": SAMPLER,
        "classifier_dir": root / "models/classifier",
        "generator_dir": root / "models/generator",
        "onnx_dir": root / "models/onnx",
        "onnx_int8_dir": root / "models/onnx_int8",
        "metrics_dir": root / "metrics",
        "output": root / "publish",
        "web": root / "frontend/public/models",
        "revision": "0" * 40,
        "repository": None,
    }
    return publish(**(arguments | changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def snippets(card: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", card, flags=re.DOTALL | re.MULTILINE)


def test_the_folder_has_the_layout_of_the_hub(repository: Path) -> None:
    summary = run_publish(repository)
    hub, web = contents(repository / "publish"), contents(repository / "frontend/public/models")
    onnx = {f"{folder}/{name}.onnx" for folder in ("onnx", "onnx_int8") for name in ("classifier", "generator")}
    for_the_page = onnx | {"golden.json", "classifier_head.bin", "manifest.json"}
    models = {f"{m}/{name}" for m in ("classifier", "generator") for name in ("config.json", "model.safetensors")}
    samples = {"samples/confusion.png", "samples/samples.png", "samples/training.png"}
    assert set(web) == for_the_page
    assert set(hub) == for_the_page | models | samples | {"README.md"}
    assert summary["files"] == len(hub)
    assert summary["bytes"] == sum(map(len, hub.values()))
    assert summary["gates"] == {"evaluate.classifier.top1": {"value": 0.9166, "bound": 0.9, "passed": True}}
    last_grid = repository / "metrics/generator/plots/images/samples_0001500.png"
    assert hub["samples/training.png"] == last_grid.read_bytes()
    assert verify_model(repository / "publish/classifier").startswith("classifier, 3 classes")
    assert verify_model(repository / "publish/generator").startswith("generator, 3 classes")


def test_the_manifest_tells_the_truth(repository: Path) -> None:
    run_publish(repository)
    for folder in (repository / "publish", repository / "frontend/public/models"):
        files = contents(folder)
        manifest = json.loads(files.pop("manifest.json"))
        listed = {entry["path"]: (entry["sha256"], entry["bytes"]) for entry in manifest["files"]}
        assert listed == {path: (hashlib.sha256(data).hexdigest(), len(data)) for path, data in files.items()}
        for part in ("classifier", "generator"):
            assert set(manifest[part]["files"].values()) <= set(listed)
            session = onnxruntime.InferenceSession(folder / manifest[part]["files"]["fp32"])
            assert [i["name"] for i in manifest[part]["inputs"]] == [i.name for i in session.get_inputs()]
            assert [o["shape"] for o in manifest[part]["outputs"]] == [o.shape for o in session.get_outputs()]
        assert {manifest["golden"], manifest["classifier"]["head"]["path"]} <= set(listed)
    assert manifest["schema_version"] == 1
    assert manifest["hub"] is None
    assert manifest["revision"] == "0" * 40
    assert manifest["data"] == {"title": "drawn cats", "licence": "cc0-1.0", "source": "synthetic", "synthetic": True}
    assert manifest["classifier"]["classes"] == manifest["generator"]["classes"] == CLASSES
    assert manifest["classifier"]["other"] == "other"
    assert (manifest["classifier"]["temperature"], manifest["classifier"]["reject_threshold"]) == (0.75, 0.625)
    assert manifest["classifier"]["inputs"] == [{"name": "images", "type": "uint8", "shape": ["batch", SIZE, SIZE, 3]}]
    assert manifest["generator"]["null_class"] == 3
    assert manifest["generator"]["patch_size"] == 8
    assert [entry["name"] for entry in manifest["generator"]["inputs"]] == ["x", "t", "h", "class_weights"]
    assert manifest["sampler"] == {
        "method": "euler", "steps": 4, "guidance": 2.0, "guidance_low": 0.1, "guidance_high": 0.9,
    }  # fmt: skip
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


def test_the_card_has_the_metrics_and_no_others(repository: Path) -> None:
    run_publish(repository)
    card = ModelCard.load(repository / "publish/README.md")
    assert card.data.license == "mit"
    results = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert len(results) == 5
    assert results["top-1 accuracy"] == 0.9166
    assert results["macro F1"] == 0.91
    assert results["FD-classifier"] == 3.25
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
    assert "60 of 62 pictures were used: 40 train, 8 val, 12 test." in text
    assert "| FD-classifier | 3.25 |" in text
    assert "| top-1 accuracy | 0.9166 (0.646 to 0.985) |" in text
    assert "| top1 low |" not in text
    assert "Below a probability of 0.625" in text
    assert "divided by 0.750" in text
    assert "| evaluate.classifier.top1 | 0.9166 | 0.9 |" in text
    assert "{{" not in text
    # Every row of a table follows its header without a gap, else the Hub shows no table.
    assert not re.search(r"\|\n\n\|", text)


def test_fid_is_named_where_it_was_measured(repository: Path) -> None:
    write_metrics(repository, {"evaluate": METRICS["evaluate"] | {"inception": {"fid": 42.5, "n_real": 12}}})
    run_publish(repository, data=DataInfo("my photos", "unknown", "image_folder"))
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
    assert "### int8" not in card.text


def test_the_code_in_the_card_runs(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_publish(repository)
    folder = repository / "publish"
    code = snippets((folder / "README.md").read_text())
    assert len(code) == 4
    before = set(contents(folder))
    outputs = []
    monkeypatch.chdir(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for snippet in code:
            exec(compile(snippet, "README.md", "exec"), {"__name__": "__main__"})
            outputs.append(capsys.readouterr().out)
    assert set(contents(folder)) - before == {"picture.png", "picture_onnx.png"}
    assert Image.open(folder / "picture_onnx.png").size == (SIZE, SIZE)
    for output in (outputs[1], outputs[2]):  # both name a class and its probability
        name, probability = output.rsplit(maxsplit=1)
        assert name in CLASSES
        assert 1 / 3 <= float(probability) <= 1
    # A picture of the model's own size needs no resizing: torch and ONNX Runtime must agree on it.
    assert float(outputs[1].split()[-1]) == pytest.approx(float(outputs[2].split()[-1]), abs=1e-4)


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
    gates = [Gate("evaluate.classifier.top1", 0.99, "min")]
    with pytest.raises(UserError, match=r"evaluate\.classifier\.top1 is 0\.9166, must be at least 0\.99"):
        run_publish(repository, gates=gates)
    assert not (repository / "publish").exists()
    assert not (repository / "frontend").exists()
    nothing_changed(repository, lambda: run_publish(repository, gates=gates), "must be at least 0.99")


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


def test_models_of_other_classes(repository: Path) -> None:
    config = TinyDiTConfig(classes=["a", "b", "c"], image_size=SIZE, patch_size=8, width=32, depth=1, heads=2)
    TinyDiT(config).save_pretrained(repository / "others")
    nothing_changed(repository, lambda: run_publish(repository, generator_dir=repository / "others"), "other classes")


def test_metrics_that_are_not_finite(repository: Path) -> None:
    def publish_nan() -> None:
        write_metrics(repository, {"quantize": {"classifier": {"top1": float("nan")}}})
        run_publish(repository)

    nothing_changed(repository, publish_nan, "quantize.json: holds NaN")


def test_the_stage(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["sampler"]["steps"] = 4
    params["publish"]["gates"] = [{"metric": "evaluate.generator.class_agreement", "bound": 0.85, "direction": "min"}]
    (repository / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(repository)
    runpy.run_path(str(ROOT / "stages/publish.py"), run_name="__main__")
    summary = json.loads((repository / "metrics/publish.json").read_text())
    assert summary["gates"]["evaluate.generator.class_agreement"]["value"] == 0.8777
    assert summary["files"] == len(contents(repository / "publish"))
    manifest = json.loads((repository / "frontend/public/models/manifest.json").read_text())
    assert manifest["revision"] is None
    assert manifest["sampler"]["steps"] == 4

    shutil.rmtree(repository / "publish")
    write_metrics(repository, {"evaluate": {"generator": {"class_agreement": 0.0769}}})  # what noise gets
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(ROOT / "stages/publish.py"), run_name="__main__")
    assert stopped.value.code == (
        "error: publish.gates: 1 of 1 failed, nothing is published: "
        "evaluate.generator.class_agreement is 0.0769, must be at least 0.85"
    )
    assert not (repository / "publish").exists()
