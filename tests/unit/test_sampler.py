from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tinycats.generator.network import one_hot_classes
from tinycats.generator.sampler import initial_noise, load_sampler, sample, save_sampler, student_sampler, to_uint8
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import SamplerSettings


class Recorder:
    """Predicts class 0 as 0.5 everywhere and the null class as 0.1, and counts the pictures it was asked for."""

    def __init__(self, few_step: bool = False) -> None:
        self.config = SimpleNamespace(few_step=few_step)
        self.pictures = 0
        self.times: list[float] = []
        self.lengths: list[float] = []

    def __call__(self, x: torch.Tensor, t: torch.Tensor, h: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        assert h.shape == (len(x),)
        assert h.unique().numel() == 1
        self.lengths.append(float(h[0]))
        self.pictures += len(x)
        self.times.append(float(t[0]))
        level = 0.5 * weights[:, 0] + 0.1 * weights[:, -1]
        return level[:, None, None, None].expand_as(x)


NOISE = initial_noise(0, [0, 1], 16)
WEIGHTS = one_hot_classes([0, 0], 2)


def run(**changes) -> tuple[torch.Tensor, Recorder]:
    settings = {"method": "euler", "steps": 4, "guidance": 1.0, "guidance_low": 0.0, "guidance_high": 1.0}
    model = Recorder()
    return sample(model, NOISE, WEIGHTS, SamplerSettings(**{**settings, **changes})), model


def test_time_goes_from_noise_to_data_and_the_last_step_lands_on_the_prediction() -> None:
    pictures, model = run()
    assert model.times == [0, 0.25, 0.5, 0.75]
    torch.testing.assert_close(pictures, torch.full_like(pictures, 0.5))


def test_without_guidance_every_step_costs_one_evaluation() -> None:
    assert run()[1].pictures == 4 * len(NOISE)


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_a_student_is_asked_once_a_step_and_told_how_long_it_is(steps: int) -> None:
    model = Recorder(few_step=True)
    pictures = sample(model, NOISE, WEIGHTS, student_sampler(steps))
    assert model.pictures == steps * len(NOISE)
    assert model.times == pytest.approx([i / steps for i in range(steps)])
    assert model.lengths == pytest.approx([1 / steps] * steps)
    torch.testing.assert_close(pictures, torch.full_like(pictures, 0.5))


@pytest.mark.parametrize("method", ["euler", "heun"])
def test_a_teacher_is_asked_for_the_instant(method: str) -> None:
    _, model = run(method=method, guidance=2.0)
    assert set(model.lengths) == {0.0}


def test_guidance_is_applied_once() -> None:
    pictures, model = run(guidance=2.0)
    torch.testing.assert_close(pictures, torch.full_like(pictures, 0.1 + 2 * (0.5 - 0.1)))
    assert model.pictures == 2 * 4 * len(NOISE)


def test_guidance_of_zero_is_unconditional() -> None:
    torch.testing.assert_close(run(guidance=0.0)[0], torch.full_like(NOISE, 0.1))


def test_guidance_holds_inside_its_interval_only() -> None:
    _, model = run(guidance=3.0, guidance_low=0.25, guidance_high=0.75)
    assert model.pictures == (1 + 2 + 2 + 1) * len(NOISE)
    late, _ = run(guidance=2.0, guidance_low=0.0, guidance_high=0.75)
    torch.testing.assert_close(late, torch.full_like(late, 0.5))  # the last step was not guided


def test_heun_evaluates_twice_but_for_the_last_step() -> None:
    pictures, model = run(method="heun")
    assert model.pictures == (2 * 3 + 1) * len(NOISE)
    torch.testing.assert_close(pictures, torch.full_like(pictures, 0.5))


def test_every_step_is_reported() -> None:
    states: list[torch.Tensor] = []
    settings = student_sampler(4)
    sample(Recorder(), NOISE, WEIGHTS, settings, on_step=lambda i, z: states.append(z))
    torch.testing.assert_close(states[0], 0.75 * NOISE + 0.25 * 0.5)  # a straight path from noise to data
    torch.testing.assert_close(states[1], 0.5 * NOISE + 0.5 * 0.5)
    assert len(states) == 4


def test_noise_belongs_to_seed_and_index() -> None:
    assert torch.equal(initial_noise(0, [1], 16)[0], NOISE[1])
    assert not torch.equal(initial_noise(0, [2], 16)[0], NOISE[1])
    assert not torch.equal(initial_noise(1, [1], 16)[0], NOISE[1])
    assert abs(float(initial_noise(0, range(50), 16).std()) - 1) < 0.02


def test_to_uint8_maps_the_ends() -> None:
    levels = torch.tensor([-1.0, 0.0, 1.0, 3.0]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    assert to_uint8(levels)[0, :, :, 0].tolist() == [[0, 128], [255, 255]]


def test_guidance_does_not_concern_a_student() -> None:
    settings = student_sampler(2).model_copy(update={"guidance": 3.0})
    model = Recorder(few_step=True)
    sample(model, NOISE, WEIGHTS, settings)
    assert model.pictures == 2 * len(NOISE)


def test_the_settings_are_kept_next_to_the_model(tmp_path: Path) -> None:
    settings = student_sampler(4)
    save_sampler(settings, tmp_path / "generator")
    assert [path.name for path in tmp_path.iterdir()] == ["generator.sampler.json"]
    assert load_sampler(tmp_path / "generator") == settings


def test_settings_that_are_missing_or_wrong_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"generator\.sampler\.json: not found.*dvc repro evaluate"):
        load_sampler(tmp_path / "generator")
    save_sampler(student_sampler(4), tmp_path / "generator")
    path = tmp_path / "generator.sampler.json"
    path.write_text(path.read_text().replace("euler", "leap"))
    with pytest.raises(UserError, match=r"generator\.sampler\.json: method: Input should be 'euler' or 'heun'"):
        load_sampler(tmp_path / "generator")
