from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from typer.testing import CliRunner

from tests.unit.test_graph import dvc_hash
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.cli import app
from tinycats.export.golden import golden_name
from tinycats.export.onnx_export import export_classifier, export_generators
from tinycats.export.onnx_models import OnnxClassifier
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import save_sampler, student_sampler
from tinycats.publishing.publish import publish
from tinycats.releasing import release as release_module
from tinycats.releasing.release import release
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import write_json, write_rows
from tinycats.runtime.params import DataCard, HubParams, PublishParams, SamplerSettings

pytestmark = pytest.mark.xdist_group("release")  # one export serves them all

ROOT = Path(__file__).resolve().parents[2]
CLASSES = ["Bengal", "Maine Coon", "other"]
SIZE = 32
SAMPLERS = {
    "generator": SamplerSettings(method="euler", steps=4, guidance=2.0, guidance_low=0.1, guidance_high=0.9),
    "student": student_sampler(2),
}
ATTRIBUTION = "A. Nobody: Cats, 2012"
METRICS: dict[str, Any] = {
    "fetch": {"pictures": 60},
    "evaluate": {
        "classifier": {"n": 12, "top1": 0.9166, "top1_low": 0.646, "top1_high": 0.985},
        "generator": {"fd_tiny": 4.25},
        "student": {
            "fd_tiny": 3.25,
            "class_agreement": 0.8125,
            "copying": {
                "features": {"median_generated": 0.5, "median_test": 0.625, "closer_than_p1_of_test": 0.03125},
                "pixels": {"median_generated": 7.5},
            },
        },
    },
    "quantize": {"classifier": {"top1_before": 0.9166, "top1_after": 0.9083}},
}
PUBLISH = PublishParams(
    repository=None,
    name="tinycats",
    version=None,
    data=DataCard(title="real cats", licence="cc-by-sa-4.0", attribution=ATTRIBUTION),
    licence="mit",
    adapters=[],
    hub=HubParams(repo_id=None, space_id=None, private=False),
    gates=[],
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose run, of models with random weights, is published."""
    root = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    (root / "models/onnx").mkdir(parents=True)
    classifier = Classifier(
        ClassifierConfig(
            classes=CLASSES,
            other="other",
            arch="test_resnet",
            image_size=SIZE,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            flip_at_test=True,
            reject_threshold=0.625,
            distance_dims=4,
            distance_limit=1.25,
        )
    ).eval()
    classifier.save_pretrained(root / "models/classifier")
    export_classifier(classifier, root / "models/onnx/classifier.onnx", opset=18)
    for name, sampler in SAMPLERS.items():
        config = TinyDiTConfig(
            classes=CLASSES, image_size=SIZE, patch_size=8, width=32, depth=1, heads=2, few_step=name == "student"
        )
        generator = TinyDiT(config).eval()
        generator.save_pretrained(root / "models" / name)
        save_sampler(sampler, root / "models" / name)
        export_generators({root / f"models/onnx/{name}.onnx": generator}, opset=18)
        write_json(root / "models/onnx" / golden_name(name), {"steps": sampler.steps})
    shutil.copytree(root / "models/onnx", root / "models/onnx_int8")
    (root / "metrics/evaluate").mkdir(parents=True)
    Image.effect_noise((40, 40), 50).save(root / "metrics/evaluate/mistakes.png")  # shows photos, as in a real run
    nearest = {"model": "student", "class": "Bengal", "features_distance": 0.375, "features_nearest": "Bengal/1.jpg"}
    write_rows(root / "metrics/evaluate/nearest.json", [nearest])
    for name, content in METRICS.items():
        write_json(root / f"metrics/{name}.json", content)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["publish"] = PUBLISH.model_dump()
    (root / "params.yaml").write_text(yaml.safe_dump(params))
    summary = publish(
        settings=PUBLISH,
        source="image_folder",
        classifier_dir=root / "models/classifier",
        generator_dirs={name: root / "models" / name for name in SAMPLERS},
        onnx_dir=root / "models/onnx",
        onnx_int8_dir=root / "models/onnx_int8",
        metrics_dir=root / "metrics",
        output=root / "publish",
        web=root / "frontend/public/models",
        frontend=root / "frontend",
        revision="1" * 40,
    )
    write_json(root / "metrics/publish.json", summary)
    shutil.rmtree(root / "models")
    shutil.rmtree(root / "frontend")
    lock(root)
    return root


@pytest.fixture
def project(published: Path, tmp_path: Path) -> Path:
    root = tmp_path / "project"
    shutil.copytree(published, root)
    return root


def lock(root: Path) -> None:
    """dvc.lock as of a run that made what is there."""

    def entries(*paths: str) -> list[dict[str, str]]:
        return [{"path": path, "md5": dvc_hash(root / path)} for path in paths]

    params = yaml.safe_load((root / "params.yaml").read_text())
    evaluated = {"params": {"params.yaml": {"sampler.steps": params["sampler"]["steps"]}}}
    stages = {
        "fetch": {"outs": entries("metrics/fetch.json")},
        "evaluate": {**evaluated, "outs": entries("metrics/evaluate", "metrics/evaluate.json")},
        "quantize": {"outs": entries("metrics/quantize.json")},
        "publish": {
            "deps": entries("metrics/evaluate.json", "metrics/fetch.json", "metrics/quantize.json"),
            "params": {"params.yaml": {"publish": params["publish"]}},
            "outs": entries("metrics/publish.json", "publish"),
        },
    }
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": dict.fromkeys(stages)}))
    gone = {"outs": [{"path": "metrics/gone.json", "md5": "0" * 32}], "params": {"params.yaml": {"gone": 1}}}
    (root / "dvc.lock").write_text(yaml.safe_dump({"schema": "2.0", "stages": {**stages, "gone": gone}}))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


RUN = {"params.yaml", "dvc.lock", *(f"metrics/{name}.json" for name in (*METRICS, "publish"))}
CLASSIFIER = {"README.md", "manifest.json", "classifier_head.bin", "onnx_int8/classifier.onnx"}
GENERATORS = {
    "golden.json", "golden_student.json", "generator.sampler.json", "student.sampler.json",
    "onnx_int8/generator.onnx", "onnx_int8/student.onnx",
}  # fmt: skip


@pytest.mark.parametrize("generators", [False, True])
def test_a_release_has_the_int8_models_and_the_run_and_no_photo(project: Path, generators: bool) -> None:
    output = project / "pretrained"
    total = release(project, output, generators)
    files = contents(output)
    assert set(files) == RUN | CLASSIFIER | (GENERATORS if generators else set())
    assert total == sum(map(len, files.values()))
    for name in files.keys() - {"README.md", "manifest.json"}:
        source = project / name if name in RUN else project / "publish" / name
        assert files[name] == source.read_bytes(), name
    manifest, before = (json.loads((folder / "manifest.json").read_text()) for folder in (output, project / "publish"))
    listed = {file["path"]: file["bytes"] for file in manifest["files"]}
    assert listed == {path: len(content) for path, content in files.items() if path != "manifest.json"}
    models = ("classifier", *(SAMPLERS if generators else ()))
    assert set(manifest) == before.keys() - (SAMPLERS.keys() - {*models})
    for name in models:
        assert manifest[name] == {**before[name], "files": {"int8": f"onnx_int8/{name}.onnx"}}
    assert (manifest["schema_version"], manifest["revision"]) == (3, "1" * 40)
    assert OnnxClassifier(output / manifest["classifier"]["files"]["int8"]).config.classes == CLASSES
    assert (project / "publish/samples/mistakes.png").exists()


def test_the_card_says_what_it_is_of_what_and_whose(project: Path) -> None:
    release(project, project / "pretrained")
    card = (project / "pretrained/README.md").read_text()
    for text in (
        "A classifier of 3 classes, trained on real cats",
        "Classes: Bengal, Maine Coon, other.",
        "The classifier is a resnet18",  # as params.yaml says
        "| top-1 accuracy | 0.9166 (0.646 to 0.985) |",
        "| top1 after | 0.9083 |",
        f"real cats, licence: cc-by-sa-4.0. {ATTRIBUTION}.\n",
        "under the licence `mit`",
        "below 0.625",
        "above 1.250",
        "1" * 40,
    ):
        assert text in card, card
    assert "generator" not in card
    assert not any(sign in card for sign in ("{{", "{%", "\n\n\n", "|\n\n|", "None"))
    assert (project / "publish/README.md").read_text().count(ATTRIBUTION) == 1
    release(project, project / "both", with_generators=True)
    both = (project / "both/README.md").read_text()
    for text in (
        "| onnx_int8/student.onnx |",
        "images of 32 x 32 pixels of 3 classes",
        "makes one in 2 steps, its teacher in 4",
        "network, tiny.",
        "| Fréchet distance, tiny | 4.25 |",
        "| Fréchet distance, tiny | 3.25 |",
        "against the requested class) | 0.8125 |",
        "0.03125 of its images are nearer",
        "| Bengal | Bengal/1.jpg | 0.375 |",
    ):
        assert text in both, both
    assert "7.5" not in both  # of the copying, the pairs say enough
    assert not any(sign in both for sign in ("{{", "{%", "\n\n\n", "|\n\n|", "None"))


def test_the_same_run_gives_the_same_bytes_and_replaces_an_earlier_release(project: Path) -> None:
    release(project, project / "pretrained", with_generators=True)
    release(project, project / "pretrained")
    release(project, project / "again")
    assert contents(project / "pretrained") == contents(project / "again")
    assert not list(project.glob(".*.tmp"))


def unpublished(root: Path) -> None:
    shutil.rmtree(root / "publish")


def never_run(root: Path) -> None:
    (root / "dvc.lock").unlink()


def gate_failed(root: Path) -> None:
    """evaluate and its metrics are new, the folder and publish's part of dvc.lock are not."""
    locked = yaml.safe_load((root / "dvc.lock").read_text())
    write_json(root / "metrics/evaluate.json", {"classifier": {"top1": 0.1}})
    locked["stages"]["evaluate"]["outs"][1]["md5"] = dvc_hash(root / "metrics/evaluate.json")
    (root / "dvc.lock").write_text(yaml.safe_dump(locked))


def metrics_edited(root: Path) -> None:
    write_json(root / "metrics/publish.json", {})


def params_changed(root: Path) -> None:
    content = yaml.safe_load((root / "params.yaml").read_text())
    content["sampler"]["steps"] += 1
    (root / "params.yaml").write_text(yaml.safe_dump(content))


def models_changed(root: Path) -> None:
    (root / "publish/onnx_int8/classifier.onnx").write_bytes(b"other")


def image_among_the_metrics(root: Path) -> None:
    shutil.copyfile(root / "metrics/evaluate/mistakes.png", root / "metrics/fetch.json")
    lock(root)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (unpublished, "publish: this run is not published; run `dvc repro` first"),
        (never_run, "dvc.lock: not found; run this from the repository root"),
        (gate_failed, "metrics/evaluate.json: is not that of the published run"),
        (metrics_edited, "metrics/publish.json: is not that of the published run"),
        (params_changed, "params.yaml: differs from the published run in sampler.steps"),
        (models_changed, "publish: is not what dvc.lock says"),
        (image_among_the_metrics, "pretrained: would contain an image, metrics/fetch.json"),
    ],
)
def test_what_is_no_published_run_is_refused_and_changes_nothing(
    project: Path, change: Callable[[Path], None], words: str
) -> None:
    output = project / "pretrained"
    release(project, output)
    before = contents(output)
    change(project)
    with pytest.raises(UserError) as caught:
        release(project, output)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert contents(output) == before
    assert not list(project.glob(".*.tmp"))


def test_a_release_that_is_too_large_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    total = release(project, project / "pretrained")
    monkeypatch.setattr(release_module, "MOST_BYTES", total)
    assert release(project, project / "again") == total
    with pytest.raises(UserError, match=r"both: would have \d+\.\d MB, must be at most"):
        release(project, project / "both", with_generators=True)
    assert not (project / "both").exists()


@pytest.mark.parametrize("name", ["publish", "metrics", ".", "params.yaml"])
def test_only_a_release_is_replaced(project: Path, name: str) -> None:
    before = contents(project)
    with pytest.raises(UserError, match="exists and is no release"):
        release(project, project / name)
    assert contents(project) == before


def test_as_a_command_with_predict_after_it(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    done = CliRunner().invoke(app, ["release"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("pretrained: ")
    Image.fromarray(np.zeros((40, 40, 3), dtype=np.uint8)).save("cat.png")
    answer = CliRunner().invoke(app, ["predict", "cat.png", "--json"])
    assert json.loads(answer.stdout)[0]["class"] in CLASSES
    shutil.rmtree("publish")
    refused = CliRunner().invoke(app, ["release"])
    assert refused.exit_code == 1
    assert refused.output.startswith("error: publish: this run is not published")
