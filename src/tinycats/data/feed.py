"""Brings the images of each step's batch to the device, ahead of the step that needs them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from tinycats.data.batches import batch_indices
from tinycats.data.pixels import as_tensor, read_rows
from tinycats.data.processed import Split

RESIDENT_SHARE = 0.3  # of the GPU's free memory that the images of a split may take
AHEAD = 4  # batches that are on their way to a GPU where they may not


class Images(NamedTuple):
    """Rows of a batch: `pixels` uint8 (n, H, W, 3) and `labels` int64 (n,), on the device."""

    pixels: Tensor
    labels: Tensor


def feed(
    split: Split, seed: int, batch_size: int, rows: range, start: int, stop: int, device: torch.device
) -> Iterator[Images]:
    """The images of the `rows` of the batch of each step from `start` to `stop`.

    On a GPU, a split that fits lives there as uint8 and a batch is gathered there; of a larger one, threads bring the next
    batches through pinned memory.
    """

    chosen = (
        batch_indices(seed, step, batch_size, len(split.labels))[rows.start : rows.stop] for step in range(start, stop)
    )
    if device.type == "cpu":
        return (_gather(split, indices) for indices in chosen)
    return _resident(split, chosen, device) if _fits(split.images, device) else _prefetched(split, chosen, device)


def _gather(split: Split, indices: Tensor) -> Images:
    chosen = indices.numpy()
    return Images(torch.from_numpy(read_rows(split.images, chosen)), torch.from_numpy(split.labels[chosen]))


def _fits(images: np.ndarray, device: torch.device) -> bool:
    free, _ = torch.cuda.mem_get_info(device)
    return images.nbytes <= RESIDENT_SHARE * free


def _resident(split: Split, chosen: Iterator[Tensor], device: torch.device) -> Iterator[Images]:
    pixels, labels = as_tensor(split.images).to(device), torch.from_numpy(split.labels).to(device)
    for indices in chosen:
        there = indices.pin_memory().to(device, non_blocking=True)
        yield Images(pixels[there], labels[there])


def _prefetched(split: Split, chosen: Iterator[Tensor], device: torch.device) -> Iterator[Images]:
    def bring(indices: Tensor) -> Images:
        with torch.cuda.device(device):  # a thread begins on the first GPU
            return Images(*(part.pin_memory().to(device, non_blocking=True) for part in _gather(split, indices)))

    coming: deque[Future[Images]] = deque()
    with ThreadPoolExecutor(2) as pool:
        for indices in chosen:
            coming.append(pool.submit(bring, indices))
            if len(coming) > AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
