"""The device of a process, and memory that is kept."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.distributed as dist

from tinycats.runtime.devices import resolve_device
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import DeviceName
from tinycats.runtime.processes import process_group


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several GPUs, as far as choosing one goes."""
    current = [0]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: current[0])
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: current.__setitem__(0, index))
    monkeypatch.setattr(dist, "init_process_group", lambda backend: None)
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)


@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_the_device_of_a_process_carries_its_index(
    gpus: None, name: DeviceName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one, a thread of the second process, whose current GPU is the first, would bring the batches there."""
    assert resolve_device(name) == torch.device("cuda", 0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    with process_group():
        assert resolve_device(name) == torch.device("cuda", 1)


def test_the_cpu_can_be_asked_for_where_there_are_gpus(gpus: None) -> None:
    assert resolve_device("cpu") == torch.device("cpu")


def test_without_cuda_auto_is_the_cpu_and_cuda_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(UserError, match=r"compute\.device: no CUDA device found; use compute\.device=auto"):
        resolve_device("cuda")


ALLOCATE = """
import resource, sys
import numpy as np
from tinycats.runtime.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
np.ones(4 << 20, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(50):
    np.ones(4 << 20, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it is a setting of glibc")
def test_freed_memory_is_used_again_without_new_pages() -> None:
    def new_pages(how: str) -> int:
        return int(subprocess.run([sys.executable, "-c", ALLOCATE, how], check=True, capture_output=True).stdout)

    assert new_pages("keep") < new_pages("plain") / 10
