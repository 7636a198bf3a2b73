"""Several processes that train one model, each on its part of every batch (started by compute/launch.py)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel


@contextmanager
def process_group() -> Iterator[None]:
    """Join the other processes, where torchrun's variables in the environment name any."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def is_main() -> bool:
    """Whether this is the process that writes and prints."""
    return rank() == 0


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
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    return converted


def total(value: float, device: torch.device) -> float:
    """The sum of `value` over the processes."""
    return float(_reduced(torch.tensor(value, dtype=torch.float64, device=device), dist.ReduceOp.SUM))


def largest(value: int, device: torch.device) -> int:
    """The largest `value` of all processes."""
    return int(_reduced(torch.tensor(value, device=device), dist.ReduceOp.MAX))


def _reduced(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if world_size() > 1:
        dist.all_reduce(tensor, operation)
    return tensor
