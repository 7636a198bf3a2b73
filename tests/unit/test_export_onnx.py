import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.data.processed import Split, load_split
from tinycats.export import export_job
from tinycats.export.golden import decode_tensor, golden_run
from tinycats.export.onnx_export import export_classifier, write_onnx
from tinycats.export.onnx_models import OnnxClassifier, OnnxGenerator
from tinycats.export.parity import classifier_parity, generator_parity, require_parity
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import student_sampler
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import ExportParams, SamplerSettings
from tinycats.verification.onnx_file import verify_onnx

pytestmark = pytest.mark.xdist_group("export")  # one export serves them all

ROOT = Path(__file__).parents[2]
CLASSES = ["Bengal", "Korat", "Manx"]
SIZE, OPSET = 32, 20
SAMPLER = SamplerSettings(method="euler", steps=4, guidance=3.0, guidance_low=0.2, guidance_high=0.7)
SAMPLERS = {"generator": SAMPLER, "student": student_sampler(2)}


def make_classifier() -> Classifier:
    torch.manual_seed(0)
    model = Classifier(
        ClassifierConfig(
            classes=CLASSES,
            arch="resnet18",
            image_size=SIZE,
            mean=(0.485, 0.456, 0.406),
            std=(0.229, 0.224, 0.225),
            other=None,
            flip_at_test=True,
            temperature=0.5,
            reject_threshold=0.7,
            distance_dims=8,
            distance_limit=1.0,
        )
    )
    with torch.no_grad():
        model.distance.projection.copy_(torch.linalg.qr(torch.randn(512, 8)).Q)
        model.distance.whitening.normal_()
        model.distance.means.normal_()
        model.head.weight *= 10  # else an untrained network says 1/3 to everything
    return model.eval()


def make_generator() -> TinyDiT:
    torch.manual_seed(0)
    model = TinyDiT(TinyDiTConfig(classes=CLASSES, image_size=SIZE, patch_size=8, width=32, depth=1, heads=2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)  # else it starts as zero, whatever goes in
    return model.eval()


def make_student() -> TinyDiT:
    """The same network with other weights, as a few-step student."""
    model = make_generator()
    model.config = model.config.model_copy(update={"few_step": True})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return model


MODELS = {"generator": make_generator, "student": make_student}


def make_processed(directory: Path, count: int = 24) -> None:
    """Blocks of random colours: enough structure for the features to differ."""
    directory.mkdir(parents=True)
    random = np.random.default_rng(0)
    rows = ["name,label,split,row"]
    for split in ("train", "test"):
        blocks = random.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8)
        np.save(directory / f"{split}_{SIZE}.npy", blocks.repeat(SIZE // 4, axis=1).repeat(SIZE // 4, axis=2))
        rows += [f"{split}{row}.png,{row % len(CLASSES)},{split},{row}" for row in range(count)]
    (directory / "index.csv").write_text("\n".join(rows) + "\n")
    (directory / "classes.json").write_text(json.dumps({"classes": CLASSES, "other": None, "fit": "crop"}))


def export(workspace: Path, output: Path, **changes: object) -> None:
    settings: dict = {"opset": OPSET, "parity_images": 12, "classifier_tolerance": 1e-4, "generator_tolerance": 1e-4}
    export_job.export_models(
        classifier_dir=workspace / "models/classifier",
        generator_dir=workspace / "models/generator",
        student_dir=workspace / "models/student",
        samplers=SAMPLERS,
        processed_dir=workspace / "data/processed/photo",
        view_dir=workspace / "data/processed/photo",
        output_dir=output / "onnx",
        metrics_path=output / "export.json",
        timing_path=output / "timing.json",
        settings=ExportParams(**settings | changes),
        seed=0,
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models and data as the stage finds them, and in out/ what the export made of them; made once for all modules."""
    path = tmp_path_factory.getbasetemp() / "export_workspace"
    if path.exists():
        return path
    make_classifier().save_pretrained(path / "models/classifier")
    for name, make in MODELS.items():
        make().save_pretrained(path / "models" / name)
    make_processed(path / "data/processed/photo")
    export(path, path / "out")
    return path


@pytest.fixture(scope="module")
def onnx_dir(workspace: Path) -> Path:
    return workspace / "out/onnx"


@pytest.fixture(scope="module")
def test_split(workspace: Path) -> Split:
    return load_split(workspace / "data/processed/photo", "test", SIZE)


def damaged(source: Path, target: Path, change=lambda weights: weights + 0.05 * np.abs(weights).max()) -> Path:
    """A copy of a generator.onnx, one of whose matrices was changed."""
    model = onnx.load(source)
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == "patch_embedding.bias")
    weights = change(onnx.numpy_helper.to_array(tensor)).astype(np.float32)
    tensor.CopyFrom(onnx.numpy_helper.from_array(weights, tensor.name))
    onnx.save(model, target)
    return target


class TestSignature:
    def test_inputs_and_outputs(self, onnx_dir):
        classifier = ort.InferenceSession(onnx_dir / "classifier.onnx")
        assert [(i.name, i.type, i.shape) for i in classifier.get_inputs()] == [
            ("images", "tensor(uint8)", ["batch", SIZE, SIZE, 3])
        ]
        assert [(o.name, o.type, o.shape) for o in classifier.get_outputs()] == [
            ("probabilities", "tensor(float)", ["batch", 3]),
            ("distance", "tensor(float)", ["batch"]),
            ("features", "tensor(float)", ["batch", 512, 1, 1]),
        ]
        for name in MODELS:
            generator = ort.InferenceSession(onnx_dir / f"{name}.onnx")
            assert [(i.name, i.type, i.shape) for i in generator.get_inputs()] == [
                ("x", "tensor(float)", ["batch", 3, SIZE, SIZE]),
                ("t", "tensor(float)", ["batch"]),
                ("h", "tensor(float)", ["batch"]),
                ("class_weights", "tensor(float)", ["batch", 4]),
            ]
            assert [(o.name, o.shape) for o in generator.get_outputs()] == [("prediction", ["batch", 3, SIZE, SIZE])]

    def test_a_lone_file_knows_its_config(self, onnx_dir, workspace):
        assert OnnxClassifier(onnx_dir / "classifier.onnx").config == make_classifier().config
        for name, make in MODELS.items():
            assert OnnxGenerator(onnx_dir / f"{name}.onnx").config == make().config

    def test_nothing_of_this_machine_is_in_the_files(self, onnx_dir):
        for path in onnx_dir.glob("*.onnx"):
            content = path.read_bytes()
            assert b"File " not in content
            assert b"site-packages" not in content
            assert str(ROOT).encode() not in content
            model = onnx.load(path)
            assert [entry.key for entry in model.metadata_props] == ["config"]
            assert not model.graph.value_info
            assert model.opset_import[0].version == OPSET


class TestClassifier:
    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_any_batch_size_gives_what_torch_gives(self, onnx_dir, test_split, batch_size):
        images = np.array(test_split.images[:batch_size])
        probabilities, distance, features = OnnxClassifier(onnx_dir / "classifier.onnx")(images)
        with torch.no_grad():
            expected = make_classifier().answers(torch.from_numpy(images))
        np.testing.assert_allclose(probabilities, expected[0], atol=1e-5)
        np.testing.assert_allclose(distance, expected[1], rtol=1e-4)
        np.testing.assert_allclose(features, expected[2], atol=1e-5 * float(expected[2].max()))
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)

    def test_the_flip_is_inside(self, onnx_dir, test_split):
        images = np.array(test_split.images[:8])
        model = OnnxClassifier(onnx_dir / "classifier.onnx")
        probabilities = model.predict(images)[0]
        np.testing.assert_allclose(probabilities, model.predict(images[:, :, ::-1])[0], atol=1e-5)
        with torch.no_grad():
            one_way = make_classifier()(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)[0].softmax(1).numpy()
        assert np.abs(probabilities - one_way).max() > 1e-3

    def test_the_temperature_is_inside(self, onnx_dir, test_split):
        images = np.array(test_split.images[:8])
        model = make_classifier()
        with torch.no_grad():
            logits = model.views(torch.from_numpy(images))[0].numpy()
        scaled, unscaled = (np.exp(logits / t) for t in (0.5, 1.0))
        expected, other = ((p / p.sum(axis=2, keepdims=True)).mean(axis=0) for p in (scaled, unscaled))
        np.testing.assert_allclose(OnnxClassifier(onnx_dir / "classifier.onnx").predict(images)[0], expected, atol=1e-5)
        assert np.abs(expected - other).max() > 0.01

    def test_pictures_get_different_answers_in_the_order_they_came_in(self, onnx_dir, test_split):
        model = OnnxClassifier(onnx_dir / "classifier.onnx")
        probabilities, distances = model.predict(test_split.images)
        assert probabilities.std(axis=0).max() > 1e-2
        assert distances.std() > 1e-3 * distances.mean()
        turned = model.predict(test_split.images[::-1])
        np.testing.assert_allclose(turned[0], probabilities[::-1], atol=1e-5)
        np.testing.assert_allclose(turned[1], distances[::-1], rtol=1e-4)

    def test_without_a_distance_the_batch_is_as_free(self, tmp_path):
        torch.manual_seed(0)
        config = make_classifier().config.model_copy(update={"arch": "test_efficientnet", "distance_dims": 0})
        model = Classifier(config).eval()
        export_classifier(model, tmp_path / "plain.onnx", OPSET)
        images = np.zeros((3, SIZE, SIZE, 3), np.uint8)
        probabilities, distance, _ = OnnxClassifier(tmp_path / "plain.onnx")(images)
        assert probabilities.shape == (3, 3)
        assert distance.tolist() == [0, 0, 0]


class TestGenerator:
    @pytest.mark.parametrize("name", MODELS)
    @pytest.mark.parametrize("batch_size", [1, 2, 5])
    def test_any_batch_size_gives_what_torch_gives(self, onnx_dir, batch_size, name):
        random = torch.Generator().manual_seed(batch_size)
        x = torch.randn(batch_size, 3, SIZE, SIZE, generator=random)
        t, h = torch.rand(2, batch_size, generator=random)
        weights = torch.rand(batch_size, 4, generator=random)
        with torch.no_grad():
            expected = MODELS[name]()(x, t, h, weights)
        prediction = OnnxGenerator(onnx_dir / f"{name}.onnx")(x, t, h, weights)
        assert float(expected.std()) > 0.1
        torch.testing.assert_close(prediction, expected, atol=1e-5, rtol=0)

    @pytest.mark.parametrize("name", MODELS)
    def test_every_input_matters(self, onnx_dir, name):
        model = OnnxGenerator(onnx_dir / f"{name}.onnx")
        inputs = [torch.randn(1, 3, SIZE, SIZE), torch.tensor([0.3]), torch.zeros(1), torch.tensor([[1.0, 0, 0, 0]])]
        changed = [torch.randn(1, 3, SIZE, SIZE), torch.tensor([0.6]), torch.ones(1), torch.tensor([[0, 0, 0, 1.0]])]
        for i, value in enumerate(changed):
            difference = model(*inputs[:i], value, *inputs[i + 1 :]) - model(*inputs)
            assert difference.abs().max() > 1e-3

    def test_the_weights_of_the_directory_are_those_in_the_file(self, onnx_dir, workspace):
        saved = load_file(workspace / "models/generator/model.safetensors")
        initializers = {tensor.name: tensor for tensor in onnx.load(onnx_dir / "generator.onnx").graph.initializer}
        bias = onnx.numpy_helper.to_array(initializers["patch_embedding.bias"])
        np.testing.assert_array_equal(bias, saved["patch_embedding.bias"].numpy())


class TestParity:
    def test_metrics_hold_differences_sizes_and_counts(self, onnx_dir, workspace):
        metrics = json.loads((workspace / "out/export.json").read_text())
        assert list(metrics) == ["classifier", *MODELS]
        for name, figures in metrics.items():
            assert 0 < figures["mean_abs_diff"] < figures["max_abs_diff"] < 1e-5
            assert figures["n"] == 12
            assert figures["bytes"] == (onnx_dir / f"{name}.onnx").stat().st_size
        for name, sampler in SAMPLERS.items():
            golden = metrics[name]["golden"]
            assert 0 < golden["max_abs_diff"] < 1e-4
            assert golden["steps"] == sampler.steps
        assert list(json.loads((workspace / "out/timing.json").read_text())) == ["seconds"]

    def test_changed_weights_are_noticed(self, onnx_dir, test_split, tmp_path):
        exported = OnnxGenerator(damaged(onnx_dir / "generator.onnx", tmp_path / "generator.onnx"))
        figures = generator_parity(make_generator(), exported, test_split.images[:9], test_split.labels[:9], seed=0)
        with pytest.raises(UserError, match=r"max_abs_diff 0\.\d+, .*export.generator_tolerance is 0.001"):
            require_parity("generator", figures, 1e-3)

    def test_another_classifier_is_noticed(self, onnx_dir, test_split):
        other = make_classifier()
        with torch.no_grad():
            other.head.bias[0] += 0.5
        figures = classifier_parity(other, OnnxClassifier(onnx_dir / "classifier.onnx"), test_split.images[:9])
        assert figures["features_max_rel_diff"] < 1e-5 < 1e-2 < figures["max_abs_diff"]
        assert figures["distance_max_rel_diff"] < 1e-4
        with pytest.raises(UserError, match="classifier_tolerance"):
            require_parity("classifier", figures, 1e-3)

    def test_another_distance_is_noticed(self, onnx_dir, test_split):
        other = make_classifier()
        other.distance.means += 1
        figures = classifier_parity(other, OnnxClassifier(onnx_dir / "classifier.onnx"), test_split.images[:9])
        assert figures["max_abs_diff"] < 1e-5 < 1e-2 < figures["distance_max_rel_diff"]
        with pytest.raises(UserError, match="classifier_tolerance"):
            require_parity("classifier", figures, 1e-3)

    def test_a_difference_that_is_not_a_number_is_past_every_bound(self):
        with pytest.raises(UserError, match="nan"):
            require_parity("classifier", {"max_abs_diff": 0.0, "features_max_rel_diff": float("nan")}, 1.0)

    def test_past_the_bound_nothing_is_written(self, workspace, tmp_path, monkeypatch):
        def export_damaged(models: Mapping[Path, TinyDiT], opset: int) -> None:
            for path in models:
                damaged(workspace / "out/onnx/generator.onnx", path)

        def copy_exported(model: Classifier, path: Path, opset: int) -> None:
            shutil.copy(workspace / "out/onnx/classifier.onnx", path)

        monkeypatch.setattr(export_job, "export_classifier", copy_exported)
        monkeypatch.setattr(export_job, "export_generators", export_damaged)
        with pytest.raises(UserError, match=r"generator\.onnx differs from the torch model"):
            export(workspace, tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_a_missing_model_is_one_line(self, workspace, tmp_path):
        shutil.copytree(workspace / "models", tmp_path / "models")
        (tmp_path / "models/generator/model.safetensors").unlink()
        with pytest.raises(UserError, match=r"model\.safetensors: not found"):
            export(tmp_path, tmp_path / "out")
        assert not (tmp_path / "out").exists()


def euler(
    session: ort.InferenceSession, noise, class_weights, guidance, low, high, steps, length=0.0
) -> Iterator[np.ndarray]:
    """The sampler as another implementation would write it: no batching of the two predictions, numpy only."""
    z = noise
    n = len(z)
    null = np.zeros_like(class_weights)
    null[:, -1] = 1

    def predict(t: float, weights: np.ndarray) -> np.ndarray:
        feeds = {"x": z, "t": np.full(n, t, np.float32), "h": np.full(n, length, np.float32), "class_weights": weights}
        return session.run(None, feeds)[0]

    for i in range(steps):
        t = i / steps
        x = predict(t, class_weights)
        if guidance != 1 and low <= t < high:
            unconditional = predict(t, null)
            x = unconditional + guidance * (x - unconditional)
        z = (z + (x - z) / (1 - t) / steps).astype(np.float32)
        yield z


class TestGolden:
    @pytest.fixture
    def golden(self, onnx_dir):
        content = json.loads((onnx_dir / "golden.json").read_text())
        return content, {name: decode_tensor(tensor) for name, tensor in content["tensors"].items()}

    @pytest.fixture
    def session(self, onnx_dir):
        return ort.InferenceSession(onnx_dir / "generator.onnx")

    def test_another_implementation_reproduces_every_step(self, golden, session):
        content, tensors = golden
        assert content["classes"] == CLASSES
        assert not content["few_step"]
        assert content["times"] == [0, 0.25, 0.5, 0.75, 1]
        np.testing.assert_array_equal(tensors["class_weights"], [[1, 0, 0, 0], [0.5, 0.5, 0, 0]])
        settings = content["sampler"]
        arguments = (tensors["noise"], tensors["class_weights"])
        interval = (settings["guidance_low"], settings["guidance_high"], settings["steps"])
        states = np.stack(list(euler(session, *arguments, settings["guidance"], *interval)))
        np.testing.assert_allclose(states, tensors["states"], atol=1e-4)
        # Guidance left out, or applied twice (w^2), is far away: the file tells such an implementation.
        for wrong in (1.0, settings["guidance"] ** 2):
            wrong_states = np.stack(list(euler(session, *arguments, wrong, *interval)))
            assert np.abs(wrong_states - tensors["states"]).max() > 1e-2

    def test_the_students_run_is_told_the_length_of_its_steps(self, onnx_dir):
        content = json.loads((onnx_dir / "golden_student.json").read_text())
        tensors = {name: decode_tensor(tensor) for name, tensor in content["tensors"].items()}
        assert content["times"] == [0, 0.5, 1]
        assert content["sampler"] == student_sampler(2).model_dump()
        assert content["few_step"]
        session = ort.InferenceSession(onnx_dir / "student.onnx")
        arguments = (session, tensors["noise"], tensors["class_weights"], 1, 0, 1, 2)
        np.testing.assert_allclose(np.stack(list(euler(*arguments, length=0.5))), tensors["states"], atol=1e-4)
        for wrong in (0.0, 1.0):
            assert np.abs(np.stack(list(euler(*arguments, length=wrong))) - tensors["states"]).max() > 1e-2

    def test_guidance_1_is_no_guidance(self, golden, session):
        _, tensors = golden
        content = golden_run(make_generator(), SAMPLER.model_copy(update={"guidance": 1.0}), seed=0)
        states = np.stack(list(euler(session, tensors["noise"], tensors["class_weights"], 1, 0, 1, SAMPLER.steps)))
        np.testing.assert_allclose(states, decode_tensor(content["tensors"]["states"]), atol=1e-4)

    def test_the_noise_is_that_of_the_seed(self, golden):
        _, tensors = golden
        other = golden_run(make_generator(), SAMPLER, seed=1)
        assert np.abs(decode_tensor(other["tensors"]["noise"]) - tensors["noise"]).max() > 1


def stage_sampler(teacher: SamplerSettings) -> dict[str, object]:
    """The section `sampler` of params.yaml, of which a stage makes SAMPLERS."""
    return teacher.model_dump() | {"student_steps": SAMPLERS["student"].steps}


class TestDeterminism:
    def test_the_stage_in_another_process_and_directory_writes_the_same_bytes(self, workspace, onnx_dir, tmp_path):
        for name in ("models", "data"):
            shutil.copytree(workspace / name, tmp_path / name)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["seed"] = 0
        params["sampler"] = stage_sampler(SAMPLER)
        params["export"].update(opset=OPSET, parity_images=12)
        (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
        environment = {**os.environ, "PYTHONHASHSEED": "12345"}
        stage = [sys.executable, ROOT / "stages/export_onnx.py"]
        done = subprocess.run(stage, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        names = sorted(path.name for path in onnx_dir.iterdir())
        assert names == ["classifier.onnx", "generator.onnx", "golden.json", "golden_student.json", "student.onnx"]
        for name in names:
            assert (tmp_path / "models/onnx" / name).read_bytes() == (onnx_dir / name).read_bytes(), name
        metrics = tmp_path / "metrics/export.json"
        assert metrics.read_bytes() == (workspace / "out/export.json").read_bytes()


class TestVerify:
    def test_good_files_are_described(self, onnx_dir):
        said = verify_onnx(onnx_dir / "classifier.onnx")
        assert said.startswith("ONNX classifier, fp32, 3 classes, 32 px, images [batch, 32, 32, 3] -> probabilities")
        said = verify_onnx(onnx_dir / "generator.onnx")
        assert said.startswith("ONNX generator, fp32, 3 classes")
        assert "opset 20" in said
        assert verify_onnx(onnx_dir / "student.onnx").startswith("ONNX student, fp32, 3 classes")

    def test_damaged_files_are_told_apart(self, onnx_dir, tmp_path):
        content = (onnx_dir / "generator.onnx").read_bytes()
        cases = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"this is not a model\n" * 100}
        with pytest.raises(UserError, match=r"missing\.onnx: not found"):
            verify_onnx(tmp_path / "missing.onnx")
        for name, wrong in cases.items():
            path = tmp_path / f"{name}.onnx"
            path.write_bytes(wrong)
            with pytest.raises(UserError, match=f"{name}.onnx: (is not an intact ONNX model|was not exported)"):
                verify_onnx(path)

    def test_weights_that_are_not_finite(self, onnx_dir, tmp_path):
        path = damaged(onnx_dir / "generator.onnx", tmp_path / "nan.onnx", lambda weights: weights * np.nan)
        with pytest.raises(UserError, match="prediction has values that are not finite"):
            verify_onnx(path)

    def test_another_signature(self, onnx_dir, tmp_path):
        model = onnx.load(onnx_dir / "generator.onnx")
        write_onnx(model, tmp_path / "more.onnx", model_config := make_generator().config)
        assert "runs" in verify_onnx(tmp_path / "more.onnx")
        more = model_config.model_copy(update={"classes": [*CLASSES, "Persian"]})
        write_onnx(model, tmp_path / "more.onnx", more)
        with pytest.raises(UserError, match=r"class_weights is tensor\(float\) .*, must be .*'batch', 5"):
            verify_onnx(tmp_path / "more.onnx")
        write_onnx(model, tmp_path / "more.onnx", make_classifier().config)
        with pytest.raises(UserError, match="its inputs are x, t, h, class_weights, must be images"):
            verify_onnx(tmp_path / "more.onnx")

    def test_a_fixed_batch(self, onnx_dir, tmp_path):
        model = onnx.load(onnx_dir / "generator.onnx")
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].dim_value = 2
        onnx.save(model, tmp_path / "fixed.onnx")
        with pytest.raises(UserError, match="'batch'"):
            verify_onnx(tmp_path / "fixed.onnx")

    def test_a_second_file_with_weights(self, onnx_dir, tmp_path):
        model = onnx.load(onnx_dir / "generator.onnx")
        onnx.save_model(model, tmp_path / "two.onnx", save_as_external_data=True, location="two.bin")
        with pytest.raises(UserError, match="must be a single file"):
            verify_onnx(tmp_path / "two.onnx")

    def test_a_model_of_others(self, tmp_path):
        helper = onnx.helper
        value = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("a", "b")]
        graph = helper.make_graph([helper.make_node("Relu", ["a"], ["b"])], "g", value[:1], value[1:])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, tmp_path / "o.onnx")
        with pytest.raises(UserError, match="was not exported by tinycats"):
            verify_onnx(tmp_path / "o.onnx")
