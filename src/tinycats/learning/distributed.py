"""Several processes that train one model, each on its rows of every batch (started by runtime/compute/launch.py)."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from tinycats.runtime.errors import UserError
from tinycats.runtime.processes import rank, world_size


def rows_of_batch(batch_size: int) -> range:
    """The rows of every batch that this process trains on: pairs of neighbours, which MixUp mixes, stay together.

    Raises UserError where there are fewer pairs than processes.
    """
    if -(-batch_size // 2) < world_size():
        raise UserError(
            f"a batch of {batch_size} cannot be shared by {world_size()} processes, of which each takes a pair of images at "
            "least: lower compute.processes"
        )
    return _rows_of(rank(), batch_size)


def smallest_part(batch_size: int) -> int:
    """The number of rows of the process that has the fewest."""
    return min(len(_rows_of(process, batch_size)) for process in range(world_size()))


def _rows_of(process: int, batch_size: int) -> range:
    pairs = -(-batch_size // 2)
    start, stop = (2 * (pairs * number // world_size()) for number in (process, process + 1))
    return range(start, min(stop, batch_size))


def wrap(model: nn.Module, device: torch.device) -> nn.Module:
    """The model whose backward pass averages gradients over the processes."""
    if world_size() == 1:
        return model
    return DistributedDataParallel(model, device_ids=[device] if device.type == "cuda" else None)


def synchronise_norms(model: nn.Module, device: torch.device) -> nn.Module:
    """The model with batch norms that see every process's part of a batch on CUDA.

    On a CPU, for which torch has no such norm, each sees its own part.
    """
    if world_size() == 1 or device.type != "cuda":
        return model
    from tinycats.runtime.timm import timm

    # torch's own would lose the activations of timm's norms
    converted: nn.Module = timm.layers.convert_sync_batchnorm(model)
    return converted


def total(values: Tensor) -> Tensor:
    """The sum of `values` over the processes."""
    if world_size() > 1:
        dist.all_reduce(values, dist.ReduceOp.SUM)
    return values


def largest(*values: int) -> list[int]:
    """The largest of each value of all processes: exchanged between the CPUs, so that no GPU is waited for."""
    if world_size() == 1:
        return list(values)
    tensor = torch.tensor(values)
    dist.all_reduce(tensor, dist.ReduceOp.MAX)
    return tensor.tolist()
