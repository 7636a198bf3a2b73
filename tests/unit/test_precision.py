"""Which precision `auto` means, and training in float16."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tinycats.data.randomness import generator_for
from tinycats.learning import precision
from tinycats.learning.interface import Batch
from tinycats.learning.loop import train
from tinycats.learning.precision import FASTER, candidates, resolve_dtype
from tinycats.runtime.history import History
from tinycats.runtime.params import Precision, TrainingParams
from tinycats.runtime.run_directory import RunDirectory
from tinycats.runtime.run_settings import RunSettings

CPU = torch.device("cpu")


def forget() -> None:
    """As in another process."""
    precision._fastest.cache_clear()


@pytest.fixture(autouse=True)
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of answers, of a CPU that multiplies bfloat16."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True, "avx2": True})
    forget()
    yield tmp_path / "cache/tinycats/precision.json"
    forget()


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> dict[torch.dtype, float]:
    """Seconds that `measure` answers with, to be changed; each is given once."""
    seconds = {torch.float32: 1.0, torch.bfloat16: 0.5}
    monkeypatch.setattr(precision, "measure", lambda device, dtypes: {dtype: seconds.pop(dtype) for dtype in dtypes})
    return seconds


@pytest.mark.parametrize(
    ("times_as_fast", "fastest"),
    [
        (10.0, torch.bfloat16),
        (FASTER * 1.01, torch.bfloat16),
        (FASTER / 1.01, torch.float32),
        (0.5, torch.float32),
    ],
)
def test_auto_is_what_is_faster_by_enough_to_be_worth_its_rounding(
    measured: dict[torch.dtype, float], times_as_fast: float, fastest: torch.dtype
) -> None:
    measured[torch.bfloat16] = measured[torch.float32] / times_as_fast
    assert resolve_dtype("auto", CPU) == fastest
    assert not measured


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_a_precision_that_is_named_is_not_measured(measured: dict[torch.dtype, float], name: Precision) -> None:
    assert resolve_dtype(name, CPU) == precision.DTYPES[name]
    assert len(measured) == 2


@pytest.mark.parametrize("capabilities", [{"amx_bf16": False, "avx512_bf16": False, "avx2": True}, {}])
def test_a_cpu_that_only_emulates_bfloat16_computes_in_float32(
    measured: dict[torch.dtype, float],
    kept: Path,
    monkeypatch: pytest.MonkeyPatch,
    capabilities: dict[str, bool],  # ARM names none
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert resolve_dtype("auto", CPU) == torch.float32
    assert len(measured) == 2
    assert not kept.exists()


@pytest.mark.parametrize(("native", "candidate"), [(True, torch.bfloat16), (False, torch.float16)])
def test_a_gpu_that_only_emulates_bfloat16_may_compute_in_float16(
    monkeypatch: pytest.MonkeyPatch, native: bool, candidate: torch.dtype
) -> None:
    """A T4 says that it supports bfloat16, and is slow in it."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert candidates(torch.device("cuda", 0)) == [candidate]


def test_the_answer_is_kept_for_the_machine(
    measured: dict[torch.dtype, float], kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.parent.mkdir(parents=True)
    kept.write_text(json.dumps({"another machine": "fp16"}))
    assert resolve_dtype("auto", CPU) == torch.bfloat16
    forget()
    assert resolve_dtype("auto", CPU) == torch.bfloat16  # `measured` is empty: measuring again would raise KeyError
    assert sorted(json.loads(kept.read_text()).values()) == ["bf16", "fp16"]

    forget()
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True, "avx512_bf16": True})
    measured |= {torch.float32: 1.0, torch.bfloat16: 2.0}
    assert resolve_dtype("auto", CPU) == torch.float32
    assert sorted(json.loads(kept.read_text()).values()) == ["bf16", "fp16", "fp32"]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[1]", b"null", b'{"MACHINE": "fp8"}', b'{"MACHINE": ["bf16"]}']
)
def test_a_broken_file_is_written_again(measured: dict[torch.dtype, float], kept: Path, content: bytes) -> None:
    machine = precision._machine(CPU)
    kept.parent.mkdir(parents=True)
    kept.write_bytes(content.replace(b"MACHINE", machine.encode()))
    assert resolve_dtype("auto", CPU) == torch.bfloat16
    assert json.loads(kept.read_text()) == {machine: "bf16"}


def test_a_file_that_cannot_be_written_does_no_harm(measured: dict[torch.dtype, float], kept: Path) -> None:
    kept.parent.parent.write_text("not a directory")
    assert resolve_dtype("auto", CPU) == torch.bfloat16
    assert resolve_dtype("auto", CPU) == torch.bfloat16  # measured once a process
    forget()
    measured |= {torch.float32: 1.0, torch.bfloat16: 1.0}
    assert resolve_dtype("auto", CPU) == torch.float32


def test_measuring_leaves_the_random_numbers_alone(kept: Path) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    resolve_dtype("auto", CPU)
    assert kept.exists()  # it was measured
    assert torch.equal(torch.get_rng_state(), state)


class LineTask:
    """Fits a line; `fail_at` raises at that step, as a crash would."""

    name = "line"
    steps, warmup_steps = 60, 4
    dtype = torch.float32
    lr_scales: dict[str, float] = {}  # noqa: RUF012

    def __init__(self, fail_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.model: nn.Module = nn.Linear(4, 1)
        self.fail_at = fail_at

    def batches(self, start: int, rows: range) -> Iterator[Batch]:
        for step in range(start, self.steps):
            if step == self.fail_at:
                raise KeyboardInterrupt
            x = torch.randn(8, 4, generator=generator_for(0, "line", step))[rows.start : rows.stop]
            yield {"x": x, "y": x.sum(1, keepdim=True)}

    def indices(self, step: int) -> list[int]:
        return list(range(8))

    def loss(self, model: nn.Module, batch: Batch) -> torch.Tensor:
        return (model(batch["x"]) - batch["y"]).square().mean()

    def validates(self, done: int) -> bool:
        return False

    def validate(self, done: int, averaged: nn.Module, history: History) -> bool:
        raise AssertionError("is never asked to")

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def fit(path: Path, name: Precision, fail_at: int | None = None) -> torch.Tensor:
    """The weights of the line, which are ones, as learned in this precision."""
    training = TrainingParams(
        batch_size=8, accumulation=2, lr=0.1, schedule="constant", beta1=0.9, beta2=0.95, weight_decay=0.0, clip_norm=1.0,
        ema_decay=None, augmentation="none", precision=name, compile=False,
    )  # fmt: skip
    run = RunSettings(path, every_steps=10, checkpoint_every_s=0.0, checkpoint_share=1e9)
    history = History(path / "live", path / "images")
    model = train(LineTask(fail_at), training, run, CPU, RunDirectory(path / "run"), history)
    assert isinstance(model, nn.Linear)
    return model.weight.detach().clone()


def test_float16_trains_with_its_scaler(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole", "fp16")
    assert (whole - 1).abs().max() < 0.1
    checkpoint = RunDirectory(tmp_path / "whole/run").load(LineTask.steps)
    assert checkpoint is not None
    assert 1 < checkpoint["scaler"]["scale"] < 65536  # the first steps overflowed, were left out, and lowered it
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "broken", "fp16", fail_at=30)
    assert torch.equal(fit(tmp_path / "broken", "fp16"), whole)


def test_a_run_ends_in_the_precision_that_it_began_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `auto` is another one on the machine that resumes it."""
    whole = fit(tmp_path / "whole", "fp32")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "moved", "fp32", fail_at=20)
    monkeypatch.setattr("tinycats.learning.loop.resolve_dtype", lambda precision, device: torch.float16)
    assert torch.equal(fit(tmp_path / "moved", "auto"), whole)
    assert not torch.equal(fit(tmp_path / "other", "auto"), whole)
