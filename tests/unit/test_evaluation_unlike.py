"""Images that show nothing of the training's, and figures of how they are told."""

from __future__ import annotations

import numpy as np
import pytest

from tinycats.evaluation.intervals import share
from tinycats.evaluation.unlike import PER_KIND, unlike_images, unlike_metrics


def test_auroc_and_shares_worked_by_hand() -> None:
    test = np.array([1.0, 2.0, 3.0, 4.0])
    others = {"near": np.array([0.5, 2.5]), "far": np.array([5.0, 6.0])}
    found = unlike_metrics(test, others, limit=3.5)
    # Of the pairs, 0.5 is above none of 4, 2.5 above 2, and 5 and 6 above all
    assert found["auroc"] == pytest.approx((0 + 2 + 4 + 4) / 16)
    assert (found["near"]["auroc"], found["far"]["auroc"]) == (pytest.approx(2 / 8), 1)
    assert found["n_unlike"] == 4
    assert (found["unlike_test"], found["told"]) == (0.25, 0.5)
    assert (found["near"]["told"], found["far"]["told"]) == (0, 1)
    for name, hits in (("unlike_test", test > 3.5), ("told", np.array([False, False, True, True]))):
        assert {key: found[key] for key in share(name, hits)} == share(name, hits)


def test_equal_distances_are_worth_half() -> None:
    assert unlike_metrics(np.ones(3), {"same": np.ones(5)}, None)["auroc"] == 0.5


def test_what_lies_on_the_limit_is_within() -> None:
    found = unlike_metrics(np.array([1.0, 2.0]), {"same": np.array([2.0])}, 2.0)
    assert (found["unlike_test"], found["told"]) == (0, 0)


def test_without_a_limit_nothing_is_told() -> None:
    found = unlike_metrics(np.array([1.0, 2.0]), {"far": np.array([3.0])}, None)
    assert found == {"auroc": 1, "n_unlike": 1, "far": {"auroc": 1}}


@pytest.mark.parametrize("size", [32, 40, 129])
def test_each_kind_is_made_in_the_size_asked_for_and_the_seed_decides(size: int) -> None:
    made, again, others = unlike_images(size, 0), unlike_images(size, 0), unlike_images(size, 1)
    assert list(made) == ["noise", "blocks", "gradients", "text", "plots"]
    for kind, images in made.items():
        assert images.shape == (PER_KIND, size, size, 3), kind
        assert images.dtype == np.uint8, kind
        assert np.array_equal(images, again[kind]), kind
        assert not np.array_equal(images, others[kind]), kind
        assert len(np.unique(images.reshape(PER_KIND, -1), axis=0)) == PER_KIND, kind  # no two alike
        assert images.std() > 5, kind


def test_each_kind_is_what_its_name_says() -> None:
    made = unlike_images(64, 0)
    assert made["noise"].std() > 70
    blocks = made["blocks"].reshape(PER_KIND, 8, 8, 8, 8, 3)
    assert (blocks == blocks[:, :, :1, :, :1]).all()  # of 8 x 8 pixels
    steps = np.abs(np.diff(made["gradients"].astype(int), axis=2))
    assert steps.max() <= 10
    for kind in ("text", "plots"):
        pages = made[kind]
        assert (pages == 255).all(axis=3).mean() > 0.3, kind  # paper
        assert (pages < 200).any(axis=(1, 2, 3)).all(), kind  # and ink on each
