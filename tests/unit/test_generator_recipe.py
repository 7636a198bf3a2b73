from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from tinycats.data.processed import Split, write_processed


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")  # its scripts import each other by name
    module = importlib.import_module("generator_recipe")
    params = module.pets()
    small = params.model_copy(update={"train": params.train.model_copy(update={"batch_size": 2})})
    monkeypatch.setattr(module, "pets", lambda: small)
    return module


@pytest.fixture
def photos() -> Split:
    rng = np.random.default_rng(0)
    return Split(rng.integers(0, 256, (8, 64, 64, 3), np.uint8), np.arange(8) % 2, [f"{i}.jpg" for i in range(8)])


@pytest.mark.parametrize("name", ["augment_told", "dispersive", "dropout_0.25", "muon", "repa"])
def test_a_stopped_training_goes_on_as_if_nothing_had_been(
    name: str, recipe: ModuleType, photos: Split, tmp_path: Path
) -> None:
    judge = SimpleNamespace(train=photos, held_out=photos, classes=["a", "b"])

    def train(path: Path, *stops: int) -> list[torch.Tensor]:
        for steps in stops:
            variant = recipe.VARIANTS[name]
            training = recipe.Training(variant, recipe.make_task(variant, judge, 0, steps), path)
            training.run(steps)
        assert training.step == stops[-1]
        return [p for average in training.averages for p in average.module.parameters()]

    whole, halves = train(tmp_path / "whole.pt", 4), train(tmp_path / "halves.pt", 2, 4)
    assert all(torch.equal(one, other) for one, other in zip(whole, halves, strict=True))
    assert not torch.equal(whole[0], whole[len(whole) // 2])  # the averages differ


def test_nothing_that_is_trained_on_is_held_out(recipe: ModuleType, tmp_path: Path) -> None:
    pixels = np.arange(60, dtype=np.uint8).repeat(64 * 64 * 3).reshape(60, 64, 64, 3)
    splits = ["train"] * 40 + ["val"] * 10 + ["test"] * 10
    pictures = [(f"{row}.jpg", row % 2, split, row) for row, split in enumerate(splits)]
    write_processed(tmp_path, {64: pixels}, pictures, ["a", "b"], None, "crop")
    train, held_out = recipe.hold_out(tmp_path)
    trained_on, unseen = set(train.images[:, 0, 0, 0].tolist()), set(held_out.images[:, 0, 0, 0].tolist())
    assert (len(trained_on), len(unseen)) == (30, 20)
    assert trained_on | unseen == set(range(50))
    for split in (train, held_out):
        assert split.names == [f"{value}.jpg" for value in split.images[:, 0, 0, 0]]
        assert split.labels.tolist() == [value % 2 for value in split.images[:, 0, 0, 0].tolist()]
