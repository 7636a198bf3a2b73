"""Images on their way to the device. There is no GPU here: pinning memory and choosing a GPU do nothing in these tests."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from tests.conftest import SIZE
from tinycats.data import feed as module
from tinycats.data.batches import batch_indices
from tinycats.data.processed import Split, load_split

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda self: self)
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext())


@pytest.fixture
def split(processed: Path) -> Split:
    return load_split(processed, "train", SIZE)


def test_a_batch_is_its_rows_of_the_shuffled_split(split: Split) -> None:
    found = list(module.feed(split, 3, 8, range(2, 6), 5, 9, CPU))
    assert len(found) == 4
    for step, images in enumerate(found, 5):
        indices = batch_indices(3, step, 8, len(split.labels))[2:6].numpy()
        assert torch.equal(images.pixels, torch.from_numpy(split.images[indices]))
        assert images.labels.tolist() == split.labels[indices].tolist()


@pytest.mark.parametrize("way", [module._resident, module._prefetched])
def test_every_way_to_the_device_brings_the_same_images_in_order(split: Split, way) -> None:
    chosen = [batch_indices(0, step, 8, len(split.labels)) for step in range(20)]
    expected = list(module.feed(split, 0, 8, range(8), 0, 20, CPU))
    found = list(way(split, iter(chosen), CPU))
    assert len(found) == 20
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.pixels, other.pixels)
        assert torch.equal(one.labels, other.labels)


def test_only_a_few_batches_are_on_their_way(split: Split) -> None:
    taken: list[int] = []

    def chosen():
        for step in range(50):
            taken.append(step)
            yield batch_indices(0, step, 8, len(split.labels))

    coming = module._prefetched(split, chosen(), CPU)
    next(coming)
    assert len(taken) == module.AHEAD + 1
    coming.close()


def test_a_split_lives_on_the_gpu_where_it_takes_little_of_it(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, fits in ((split.images.nbytes * 4, True), (split.images.nbytes * 3, False)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, free))
        assert module._fits(split.images, CPU) is fits
