from __future__ import annotations

import pytest
import torch

from tinycats.data.augment import augment, enlarge_small, jitter_colours, resample
from tinycats.data.batches import batch_indices
from tinycats.data.randomness import RowRandom


def seeded(rows: int = 64, seed: int = 0) -> RowRandom:
    return RowRandom(seed, "test", 0, rows, range(rows), torch.device("cpu"))


def pictures(n: int = 64) -> torch.Tensor:
    """A ramp from left to right: mirrored, it falls."""
    return torch.linspace(0.2, 0.8, 32).expand(n, 3, 32, 32)


def rising(pixels: torch.Tensor) -> torch.Tensor:
    return pixels[..., 24:].mean(dim=(1, 2, 3)) > pixels[..., :8].mean(dim=(1, 2, 3))


def test_none_changes_nothing() -> None:
    assert torch.equal(augment(pictures(), "none", seeded()), pictures())


def test_basic_mirrors_half_of_them() -> None:
    out = augment(pictures(400), "basic", seeded(400))
    assert 0.4 < rising(out).float().mean() < 0.6
    mirrored = ~rising(out)
    assert torch.equal(out[mirrored], pictures(400)[mirrored].flip(3))


@pytest.mark.parametrize("level", ["basic", "full"])
def test_what_must_not_be_mirrored_is_not(level: str) -> None:
    assert rising(augment(pictures(200), level, seeded(200), mirror=False)).all()  # type: ignore[arg-type]


def test_full_makes_every_picture_another_one_in_range() -> None:
    out = augment(pictures(16), "full", seeded(16))
    assert out.shape == (16, 3, 32, 32)
    assert out.min() >= 0
    assert out.max() <= 1
    distances = torch.cdist(out.flatten(1), out.flatten(1)) + 10 * torch.eye(16)
    assert distances.min() > 0.05


def test_it_depends_on_the_generator_alone() -> None:
    assert torch.equal(augment(pictures(), "full", seeded(seed=1)), augment(pictures(), "full", seeded(seed=1)))
    assert not torch.equal(augment(pictures(), "full", seeded(seed=1)), augment(pictures(), "full", seeded(seed=2)))


def test_resampling_with_nothing_to_do_returns_the_picture() -> None:
    still = {"area": (1.0, 1.0), "ratio": 1.0, "degrees": 0.0, "shear": 0.0}
    straight = resample(pictures(4), torch.zeros(4, dtype=torch.bool), seeded(4), **still)
    torch.testing.assert_close(straight, pictures(4))
    mirrored = resample(pictures(4), torch.ones(4, dtype=torch.bool), seeded(4), **still)
    torch.testing.assert_close(mirrored, pictures(4).flip(3))


def test_a_crop_enlarges() -> None:
    """A quarter of the area shows half of the ramp."""
    settings = {"area": (0.25, 0.25), "ratio": 1.0, "degrees": 0.0, "shear": 0.0}
    out = resample(pictures(50), torch.zeros(50, dtype=torch.bool), seeded(50), **settings)
    spread = out[..., -1].mean(dim=(1, 2)) - out[..., 0].mean(dim=(1, 2))
    torch.testing.assert_close(spread, torch.full((50,), 0.3), atol=0.02, rtol=0)


def test_crops_of_larger_pictures_are_sharper() -> None:
    """Stripes of one pixel in the large picture are still there in a crop of half its width, and gone in the small one."""
    large = (torch.arange(64) % 2).float().expand(8, 3, 64, 64)
    settings = {"area": (0.25, 0.25), "ratio": 1.0, "degrees": 0.0, "shear": 0.0}
    still = torch.zeros(8, dtype=torch.bool)
    sharp = resample(large, still, seeded(8), **settings, size=32)
    assert sharp.shape == (8, 3, 32, 32)
    assert sharp.std() > 0.2
    small = torch.nn.functional.avg_pool2d(large, 2)
    assert resample(small, still, seeded(8), **settings).std() < 0.01


def test_how_much_a_crop_keeps_is_a_setting() -> None:
    """The ramp's left and right edge are nearer to those of the picture where more of it is kept."""
    spreads = []
    for min_crop in (0.05, 0.99):
        out = augment(pictures(200), "full", seeded(200), mirror=False, min_crop=min_crop)
        grey = out.mean(dim=(1, 2))
        spreads.append(float((grey[:, -1] - grey[:, 0]).mean()))
    assert spreads[0] < 0.8 * spreads[1]


def test_colours_keep_the_shape_of_the_picture() -> None:
    out = jitter_colours(pictures(20), seeded(20))
    assert rising(out).all()
    assert not torch.allclose(out, pictures(20), atol=0.02)


def test_an_epoch_sees_every_picture_once() -> None:
    steps = [batch_indices(0, step, 4, 10) for step in range(5)]  # two epochs of 10 in batches of 4
    stream = torch.cat(steps).tolist()
    assert sorted(stream[:10]) == list(range(10))
    assert sorted(stream[10:]) == list(range(10))
    assert stream[:10] != stream[10:]
    assert torch.equal(batch_indices(0, 3, 4, 10), steps[3])
    assert not torch.equal(batch_indices(1, 0, 4, 10), steps[0])


def test_a_share_of_the_pictures_loses_its_fine_lines_and_the_others_nothing() -> None:
    lines = (torch.arange(32) % 2).float().expand(400, 3, 32, 32)
    out = enlarge_small(lines, 0.25, seeded(400))
    changed = (out != lines).flatten(1).any(dim=1)
    assert 0.18 < changed.float().mean() < 0.32
    contrast = out[changed].std(dim=(1, 2, 3))
    assert contrast.min() < 0.05  # a small picture shows no such lines
    assert (out.mean(dim=(1, 2, 3)) - 0.5).abs().max() < 0.05
    shared = RowRandom(0, "test", 0, 400, range(100, 200), torch.device("cpu"))
    assert torch.equal(enlarge_small(lines[100:200], 0.25, shared), out[100:200])
    assert torch.equal(enlarge_small(lines, 0.0, seeded(400)), lines)
