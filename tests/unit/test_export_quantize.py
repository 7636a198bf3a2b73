import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml

from tests.unit.test_export_onnx import (  # noqa: F401
    CLASSES,
    ROOT,
    SAMPLERS,
    SIZE,
    damaged,
    make_classifier,
    stage_sampler,
    workspace,
)
from tinycats.backbones.features import FrozenFeatures, features_of
from tinycats.commands.params import compose
from tinycats.data.processed import Split, load_split
from tinycats.evaluation.distribution import frechet_distance, labels_in_proportion
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.export.quantize import quantize_generator
from tinycats.export.quantize_job import quantize_models
from tinycats.generator.network import one_hot_classes
from tinycats.generator.sampler import initial_noise, sample, to_uint8
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import QuantizeParams
from tinycats.verification.onnx_file import verify_onnx

pytestmark = pytest.mark.xdist_group("export")  # the export of test_export_onnx.py

FEATURES = "tf_efficientnet_lite0"
FD = "fd_efficientnet_lite0"
SETTINGS = {
    "calibration_images": 16,
    "samples_per_class": 6,
    "sampler_steps": SAMPLERS["generator"].steps,
    "max_accuracy_drop": 0.2,
    "max_fd_increase": 0.5,
}


@pytest.fixture(scope="module")
def place(workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:  # noqa: F811
    """What the stage finds. The test pictures carry the labels that the fp32 classifier gives: its top-1 is 1."""
    path = tmp_path_factory.mktemp("quantize")
    shutil.copytree(workspace / "out/onnx", path / "models/onnx")
    shutil.copytree(workspace / "data", path / "data")
    images = load_split(path / "data/processed/photo", "test", SIZE).images
    answers = OnnxClassifier(path / "models/onnx/classifier.onnx").predict(images)[0].argmax(axis=1)
    assert len(set(answers)) > 1  # else nothing could be lost
    rows = [f"train{row}.png,0,train,{row}" for row in range(len(images))]
    rows += [f"test{row}.png,{label},test,{row}" for row, label in enumerate(answers)]
    (path / "data/processed/photo/index.csv").write_text("\n".join(["name,label,split,row", *rows]) + "\n")
    return path


@pytest.fixture(scope="module")
def result(place: Path) -> Path:
    quantize(place, place / "result")
    return place / "result"


def quantize(place: Path, output: Path, **changes: object) -> None:
    settings: dict = SETTINGS | changes
    quantize_models(
        onnx_dir=place / "models/onnx",
        processed_dir=place / "data/processed/photo",
        view_dir=place / "data/processed/photo",
        output_dir=output / "onnx_int8",
        metrics_path=output / "quantize.json",
        timing_path=output / "timing.json",
        samplers=SAMPLERS,
        features=FEATURES,
        settings=QuantizeParams(**settings),
        seed=0,
    )


def pictures_of(place: Path, split: str) -> Split:
    return load_split(place / "data/processed/photo", split, SIZE)


def operators(path: Path) -> dict[str, list[onnx.NodeProto]]:
    found: dict[str, list[onnx.NodeProto]] = {}
    for node in onnx.load(path).graph.node:
        found.setdefault(node.op_type, []).append(node)
    return found


class TestFiles:
    def test_smaller_single_files_with_the_same_inputs_outputs_and_config(self, place, result):
        for name in ("classifier", *SAMPLERS):
            model = OnnxClassifier if name == "classifier" else OnnxGenerator
            before, after = place / f"models/onnx/{name}.onnx", result / f"onnx_int8/{name}.onnx"
            assert after.stat().st_size < (0.3 if name == "classifier" else 0.6) * before.stat().st_size
            assert model(after).config == model(before).config
            assert "int8" in verify_onnx(after)
            signatures = [
                [(value.name, value.type, value.shape) for value in (*session.get_inputs(), *session.get_outputs())]
                for session in map(ort.InferenceSession, (before, after))
            ]
            assert signatures[0][:1] == signatures[1][:1]
            assert [value[:2] for value in signatures[0]] == [value[:2] for value in signatures[1]]

    def test_the_temperature_is_inside(self, place, result):
        images = np.array(pictures_of(place, "test").images)
        before, after = (OnnxClassifier(p / "classifier.onnx") for p in (place / "models/onnx", result / "onnx_int8"))
        assert after.config.temperature == make_classifier().config.temperature != 1
        fp32, int8 = (model.predict(images)[0] for model in (before, after))
        with torch.no_grad():
            logits = make_classifier().views(torch.from_numpy(images))[0]
        assert np.abs(fp32 - int8).mean() < np.abs(fp32 - logits.softmax(dim=2).mean(dim=0).numpy()).mean() / 2

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_every_product_with_a_weight_is_int8(self, place, result, name):
        found = operators(result / f"onnx_int8/{name}.onnx")
        initializers = {
            tensor.name: tensor for tensor in onnx.load(result / f"onnx_int8/{name}.onnx").graph.initializer
        }
        weights = [node.input[1] for node in found["MatMulInteger"]]
        assert all(initializers[name].data_type == onnx.TensorProto.INT8 for name in weights)
        assert "Gemm" not in found
        assert not any(set(node.input) & set(initializers) for node in found["MatMul"])  # attention alone
        before = operators(place / f"models/onnx/{name}.onnx")
        assert len(weights) == len(before["Gemm"]) + len(before["MatMul"]) - len(found["MatMul"])

    def test_convolutions_are_int8_per_channel_and_the_pixels_and_probabilities_are_not(self, result):
        model = onnx.load(result / "onnx_int8/classifier.onnx")
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        found = operators(result / "onnx_int8/classifier.onnx")
        dequantized = {node.output[0]: node for node in found["DequantizeLinear"]}
        assert len(found["Conv"]) == 20
        for node in found["Conv"]:
            weight, scale, _ = dequantized[node.input[1]].input
            assert initializers[weight].data_type == onnx.TensorProto.INT8
            assert len(initializers[scale].dims) == 1
            assert initializers[scale].dims[0] == initializers[weight].dims[0]
            assert node.input[0] in dequantized
        quantized = {node.input[0] for node in found["QuantizeLinear"]}
        for operator in ("Cast", "Concat", "Gemm", "Softmax"):
            assert not any(set(node.output) & quantized for node in found[operator])
        assert not set(found["Gemm"][0].input) & set(dequantized)
        assert not any(set(node.input) & set(dequantized) for node in found["Softmax"])

    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_any_batch_size(self, place, result, batch_size):
        images = np.array(pictures_of(place, "test").images[:batch_size])
        before, after = (
            OnnxClassifier(directory / "classifier.onnx").predict(images)[0]
            for directory in (place / "models/onnx", result / "onnx_int8")
        )
        assert 0 < np.abs(before - after).max() < 0.3
        x, t = torch.randn(batch_size, 3, SIZE, SIZE), torch.linspace(0.2, 0.8, batch_size)
        arguments = (x, t, torch.zeros(batch_size), one_hot_classes([0] * batch_size, len(CLASSES)))
        predictions = [
            OnnxGenerator(directory / "generator.onnx")(*arguments)
            for directory in (place / "models/onnx", result / "onnx_int8")
        ]
        difference = (predictions[0] - predictions[1]).abs()
        assert 0 < float(difference.mean()) < 0.05 * float(predictions[0].std())


class TestMetrics:
    def test_classifier(self, place, result):
        figures = json.loads((result / "quantize.json").read_text())["classifier"]
        test = pictures_of(place, "test")
        answers = OnnxClassifier(result / "onnx_int8/classifier.onnx").predict(test.images)[0].argmax(axis=1)
        assert figures["top1_before"] == 1
        assert figures["top1_after"] == pytest.approx((answers == test.labels).mean())
        assert figures["accuracy_drop"] == pytest.approx(1 - figures["top1_after"])
        assert figures["agreement"] == pytest.approx(figures["top1_after"])  # the labels are the fp32 answers
        assert figures["n"] == len(test.labels)
        limit = make_classifier().config.distance_limit
        for when, directory in (("before", place / "models/onnx"), ("after", result / "onnx_int8")):
            beyond = OnnxClassifier(directory / "classifier.onnx").predict(test.images)[1] > limit
            assert figures[f"unlike_{when}"] == pytest.approx(beyond.mean())
        assert figures["bytes_after"] == (result / "onnx_int8/classifier.onnx").stat().st_size

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_generators_are_judged_on_the_same_noise_and_classes_as_frequent_as_in_the_test_split(
        self, place, result, name
    ):
        figures = json.loads((result / "quantize.json").read_text())[name]
        frozen = FrozenFeatures(FEATURES, "")
        test = pictures_of(place, "test")
        real = features_of(frozen, test.images)
        labels = labels_in_proportion(test.labels, 18)
        assert len(set(np.bincount(labels))) > 1  # else it would not matter
        weights = one_hot_classes(labels, 3)
        distances = []
        for directory in (place / "models/onnx", result / "onnx_int8"):
            generator = OnnxGenerator(directory / f"{name}.onnx")
            generated = to_uint8(sample(generator, initial_noise(0, range(18), SIZE), weights, SAMPLERS[name]))
            distances.append(frechet_distance(real, features_of(frozen, generated.numpy())))
        assert figures[f"{FD}_before"] == pytest.approx(distances[0])
        assert figures[f"{FD}_after"] == pytest.approx(distances[1])
        assert figures["fd_increase"] == pytest.approx(distances[1] / distances[0] - 1, abs=1e-5)
        assert 0 < figures["pixel_mean_abs_diff"] < 8
        assert (figures["n"], figures["n_real"], figures["sampler_steps"]) == (18, 24, SAMPLERS[name].steps)

    def test_clock_readings_are_kept_apart(self, result):
        assert "ms" not in (result / "quantize.json").read_text()
        timing = json.loads((result / "timing.json").read_text())
        for name in ("classifier", *SAMPLERS):
            for when in ("before", "after"):
                latency = timing[name][when]
                assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]
                assert latency["runs"] >= 10


class TestGates:
    def test_a_worse_classifier_stops_the_stage_with_the_figures(self, place, tmp_path):
        """Calibrated on pictures that are all black, the classifier clips every other one."""
        shutil.copytree(place / "models", tmp_path / "models")
        shutil.copytree(place / "data", tmp_path / "data")
        np.save(tmp_path / f"data/processed/photo/train_{SIZE}.npy", np.zeros((24, SIZE, SIZE, 3), np.uint8))
        with pytest.raises(UserError, match=r"top1 was 1 and is 0\.\d+ over 24 images: accuracy_drop 0\.\d+, "):
            quantize(tmp_path, tmp_path / "result")
        assert not (tmp_path / "result/quantize.json").exists()
        assert not (tmp_path / "result/onnx_int8").exists()

    def test_a_worse_generator_stops_the_stage_with_the_figures(self, place, result, tmp_path):
        both = json.loads((result / "quantize.json").read_text())
        bound = max(both[name]["fd_increase"] for name in SAMPLERS) - 1e-6
        name = next(name for name in SAMPLERS if both[name]["fd_increase"] > bound)
        was = f"{both[name][f'{FD}_before']:.4g}"
        message = rf"the int8 {name} is .*: {FD} was {was} and is .*quantize\.max_fd_increase is "
        with pytest.raises(UserError, match=message):
            quantize(place, tmp_path, max_fd_increase=bound)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", SAMPLERS)
    def test_a_generator_that_gives_no_numbers_stops_the_stage(self, place, tmp_path, name):
        shutil.copytree(place / "models", tmp_path / "models")
        path = tmp_path / f"models/onnx/{name}.onnx"
        damaged(path, path, lambda weights: weights * np.nan)
        shutil.copytree(place / "data", tmp_path / "data")
        with pytest.raises(UserError, match="the fp32 generator produces values that are not finite"):
            quantize(tmp_path, tmp_path / "result")
        assert not (tmp_path / "result/onnx_int8").exists()


class TestDeterminism:
    def test_the_stage_in_another_process_and_directory_writes_the_same_bytes(self, place, result, tmp_path):
        for name in ("models", "data"):
            shutil.copytree(place / name, tmp_path / name)
        params = yaml.safe_load(compose(ROOT, ["distill=demo"]))
        params.update(seed=0, sampler=stage_sampler(SAMPLERS["generator"]), quantize=SETTINGS)
        params["evaluate"]["features"] = FEATURES
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        environment = {**os.environ, "PYTHONHASHSEED": "12345"}
        stage = [sys.executable, ROOT / "stages/quantize.py"]
        done = subprocess.run(stage, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        for name in ("classifier.onnx", *(f"{generator}.onnx" for generator in SAMPLERS)):
            assert (tmp_path / "models/onnx_int8" / name).read_bytes() == (result / "onnx_int8" / name).read_bytes()
        assert (tmp_path / "metrics/quantize.json").read_bytes() == (result / "quantize.json").read_bytes()
        assert (tmp_path / "metrics/timing/quantize.json").exists()

    def test_again_in_this_process(self, place, result, tmp_path):
        quantize_generator(place / "models/onnx/generator.onnx", tmp_path / "generator.onnx")
        assert (tmp_path / "generator.onnx").read_bytes() == (result / "onnx_int8/generator.onnx").read_bytes()
