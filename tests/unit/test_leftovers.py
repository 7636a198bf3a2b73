"""Stages that are killed while they hold temporary files: after the next start none is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tests.conftest import ROOT
from tinycats.data.raw import RawImage, write_raw
from tinycats.export.onnx_export import export_generators
from tinycats.generator.network import TinyDiT, TinyDiTConfig

QUANTIZE = """
import signal, sys
from pathlib import Path
from onnxruntime.quantization import quant_utils
from tinycats.export.quantize import quantize_generator
if sys.argv[1:]:
    quant_utils.add_infer_metadata = lambda _: signal.raise_signal(signal.SIGKILL)
quantize_generator(Path("models/generator.onnx"), Path("int8.onnx"))
"""
LAUNCH = """
import os, signal, sys, time
from tinycats.runtime.compute.launch import launch
def job(kill):
    parent = os.getppid()
    if kill and os.environ["RANK"] == "0":
        os.kill(parent, signal.SIGKILL)
    while kill and os.getppid() == parent:
        time.sleep(0.1)
if __name__ == "__main__":
    launch(2, job, {"kill": len(sys.argv) > 1})
"""


def kill_and_run_again(script: str, directory: Path) -> None:
    """The script with an argument, which it does not survive, and without."""
    temporary = directory / "tmp"
    temporary.mkdir()
    (directory / "script.py").write_text(script)

    def run(*arguments: str) -> int:
        environment = {**os.environ, "TMPDIR": str(temporary), "GLOO_SOCKET_IFNAME": "lo"}
        command = [sys.executable, "script.py", *arguments]
        return subprocess.run(command, cwd=directory, env=environment, check=False).returncode

    def left() -> list[str]:
        return [path.name for path in temporary.iterdir() if path.name != ".ses"]  # onnxruntime's own, one for all runs

    assert run("kill") == -signal.SIGKILL
    assert len(left()) == 1, "it had nothing to leave"
    assert run() == 0
    assert left() == []


def test_a_killed_launcher_leaves_nothing_for_long(tmp_path: Path) -> None:
    kill_and_run_again(LAUNCH, tmp_path)


def test_a_killed_quantization_leaves_nothing_for_long(tmp_path: Path) -> None:
    """Nor anything next to the exported models, which DVC watches."""
    (tmp_path / "models").mkdir()
    config = TinyDiTConfig(classes=["a", "b"], image_size=16, patch_size=8, width=16, depth=1, heads=1)
    export_generators({tmp_path / "models/generator.onnx": TinyDiT(config)}, opset=20)
    kill_and_run_again(QUANTIZE, tmp_path)
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["generator.onnx"]


def test_a_killed_preprocessing_leaves_nothing_for_long(tmp_path: Path) -> None:
    """Its worker processes hold the temporary directory too, for as long as they notice that it is gone."""
    pixels = np.random.default_rng(0).integers(0, 256, (2000, 48, 48, 3), dtype=np.uint8)
    image = tmp_path / "image.png"
    images = []
    for number, array in enumerate(pixels):
        Image.fromarray(array).save(image)
        name = f"{'ab'[number % 2]}/{number}.png"
        images.append(RawImage(name, name[0], "", image.read_bytes()))
    write_raw(tmp_path / "data/raw", images)
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["preprocess"] |= {"other_class": None, "min_side_px": 16, "features": None, "near_duplicates": "report"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, str(ROOT / "stages/preprocess.py")]
    with subprocess.Popen(command, cwd=tmp_path) as stage:
        while not list(tmp_path.glob("data/.processed.*.tmp/spool_*")):
            assert stage.poll() is None
            time.sleep(0.01)
        stage.kill()
    assert len(list((tmp_path / "data").iterdir())) == 2
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["processed", "raw"]
