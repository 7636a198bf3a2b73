from __future__ import annotations

import importlib.util
import json
import struct
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from wandb.proto.wandb_internal_pb2 import Record

from tests.unit.training import run_classifier, run_distillation, run_generator
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import WandbLogging

BLOCK = 32768


def records(run_file: Path) -> list[Record]:
    """The records of an offline run's file: 7 bytes, then LevelDB's log format (crc, length, type; blocks of 32 KiB)."""
    content, at, part, found = run_file.read_bytes(), 7, b"", []
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[at : at + 7])
        part += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # a whole record, or its last part
            found.append(Record.FromString(part))
            part = b""
    return found


def logged(directory: Path) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The history and the configuration of the only run in `directory`."""
    (run_file,) = directory.glob("wandb/offline-run-*/run-*.wandb")
    deadline = time.monotonic() + 60
    while not any(record.WhichOneof("record_type") == "exit" for record in records(run_file)):
        assert time.monotonic() < deadline, "the run's file has no end"
        time.sleep(0.1)  # wandb's own process writes it, a little after finish() has returned
    history: dict[str, list[Any]] = {}
    config: dict[str, Any] = {}
    for record in records(run_file):
        for item in record.history.item:
            name = item.key or "/".join(item.nested_key)
            history.setdefault(name, []).append(json.loads(item.value_json))
        for item in record.run.config.update:
            config[item.key] = json.loads(item.value_json)
    return history, config


@pytest.fixture
def offline() -> WandbLogging:
    return WandbLogging(backend="wandb", every_steps=10, project="cats", entity=None, mode="offline")


def test_the_generators_run_holds_curves_and_sample_grids(
    processed: Path, tmp_path: Path, offline: WandbLogging
) -> None:
    run_generator(processed, tmp_path, wandb=offline, every_steps=10)
    history, config = logged(tmp_path / "wandb")
    assert len(history["loss"]) == len(history["lr"]) == 3
    assert all(loss > 0 for loss in history["loss"])
    assert (config["training"]["lr"], config["network"]["width"]) == (0.002, 32)
    assert history["_step"] == sorted(history["_step"])
    grids = sorted((tmp_path / "wandb").glob("wandb/offline-run-*/files/media/images/samples_*.png"))
    assert len(grids) == 2
    ours = Image.open(tmp_path / "metrics/plots/images/samples_0000030.png")
    assert Image.open(grids[-1]).tobytes() == ours.tobytes()


def test_the_students_run_holds_its_errors_and_sample_grids(
    processed: Path, tmp_path: Path, offline: WandbLogging
) -> None:
    run_distillation(processed, tmp_path, wandb=offline, every_steps=10)
    history, config = logged(tmp_path / "wandb")
    assert all(len(history[f"val_mse_{steps}"]) == 2 for steps in (1, 2, 4))
    assert (config["guidance"]["guidance"], config["training"]["levels"]) == (2.0, 2)
    (run,) = (tmp_path / "wandb").glob("wandb/offline-run-*")
    assert "distill-" in run.name
    assert len(list(run.glob("files/media/images/samples_*.png"))) == 2


def test_the_classifiers_run_holds_accuracies_and_the_confusion_matrix(
    processed: Path, tmp_path: Path, offline: WandbLogging
) -> None:
    run_classifier(processed, tmp_path, wandb=offline)
    history, _ = logged(tmp_path / "wandb")
    assert len(history["val_top1"]) == len(history["val_top5"]) == 4  # epochs
    assert history["val_top5"] == [1.0] * 4  # of three classes
    assert history["val_top1"][-1] == json.loads((tmp_path / "metrics/metrics.json").read_text())["val_top1"]
    (picture,) = (tmp_path / "wandb").glob("wandb/offline-run-*/files/media/images/confusion_val_*.png")
    assert Image.open(picture).size[0] > 300


def test_without_a_key_it_is_one_line_before_anything_is_trained(processed: Path, tmp_path: Path) -> None:
    online = WandbLogging(backend="wandb", every_steps=10, project="cats", entity=None, mode="online")
    with pytest.raises(UserError, match=r"set WANDB_API_KEY, or do without one: -S logging\.mode=offline"):
        run_generator(processed, tmp_path, wandb=online)
    assert not (tmp_path / "model").exists()
    assert not list((tmp_path / "runs").glob("*/status.json"))


def test_without_the_package_it_is_one_line(
    processed: Path, tmp_path: Path, offline: WandbLogging, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else find(name))
    with pytest.raises(UserError, match=r"pip install 'tinycats\[wandb\]'"):
        run_generator(processed, tmp_path, wandb=offline)
