"""Temperature, reject threshold and the limit of the distance, against cases with a known answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tinycats.backbones.features import resize
from tinycats.classifier.calibration import calibrate, distance_limit, fit_temperature, reject_threshold
from tinycats.classifier.distance import fit_distance
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.data.processed import Split


def logits_and_labels(n: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits (1, n, 5), and labels that are drawn from their softmax: calibrated as they are."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(1, n, 5, generator=generator)
    return logits, torch.multinomial(logits[0].softmax(dim=1), 1, generator=generator).squeeze(1)


@pytest.mark.parametrize("factor", [0.3, 1.0, 4.0])
def test_logits_that_are_too_large_by_a_factor_get_it_as_temperature(factor: float) -> None:
    logits, labels = logits_and_labels(20_000, 2.0)
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor, rel=0.05)


def test_two_equal_views_are_as_one_and_order_changes_nothing() -> None:
    logits, labels = logits_and_labels(300, 3.0)
    temperature = fit_temperature(logits, labels)
    assert fit_temperature(logits.repeat(2, 1, 1), labels) == pytest.approx(temperature, rel=1e-4)
    order = torch.randperm(300, generator=torch.Generator().manual_seed(1))
    assert fit_temperature(logits[:, order], labels[order]) == pytest.approx(temperature, rel=1e-4)


def test_a_temperature_is_a_minimum_of_the_likelihood_that_torch_computes() -> None:
    logits, labels = logits_and_labels(20_000, 2.0)
    logits = logits + torch.stack([torch.zeros_like(logits[0]), logits[0].roll(1, dims=0)])  # two views that differ
    best = fit_temperature(logits, labels)

    def nll(temperature: float) -> float:
        return -float((logits / temperature).softmax(dim=2).mean(dim=0)[range(len(labels)), labels].log().mean())

    assert nll(best) < min(nll(0.9 * best), nll(1.1 * best))


@pytest.mark.parametrize("n", [20, 200])
def test_where_all_are_right_the_confidence_ends_where_n_pictures_can_vouch_for_it(n: int) -> None:
    logits = 8 * torch.eye(3)[torch.arange(n) % 3][None]  # every picture right, all equally surely
    confidence = (logits / fit_temperature(logits, torch.arange(n) % 3)).softmax(dim=2).max()
    assert 1 - float(confidence) == pytest.approx(2 / 3 / (n + 2), rel=0.02)  # smoothing leaves a third with the class


def test_bounds_hold_where_nothing_is_known() -> None:
    logits, labels = logits_and_labels(100, 50.0)
    assert fit_temperature(logits, (labels + 1) % 5) == pytest.approx(20, rel=0.01)


@pytest.mark.parametrize(
    ("right", "expected"),
    [
        ("11111", 0.0),  # 1/6: nothing is rejected
        ("01111", 0.0),  # 2/2, 2/3, 2/4, 2/5, 2/6
        ("11000", 0.7),  # 1/2, 1/3, 2/4, 3/5, 4/6
        ("10000", 0.9),
        ("00111", None),  # 2/2, 3/3, 3/4, 3/5, 3/6 would do: see below
        ("00000", None),
    ],
)
def test_thresholds_worked_by_hand(right: str, expected: float | None) -> None:
    """(1 + wrong) / (1 + accepted) of the surest one, two, ... answers, against a bound of 0.45 or 0.5."""
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    shuffled = np.array([3, 0, 4, 1, 2])
    hits = np.array([digit == "1" for digit in right])
    precision = 0.55 if right == "00111" else 0.5
    assert reject_threshold(confidence[shuffled], hits[shuffled], precision) == expected


@pytest.mark.parametrize(("n", "wrong", "expected"), [(18, 0, None), (19, 0, 0.0), (38, 1, None), (39, 1, 0.0)])
def test_nineteen_right_answers_are_the_fewest_that_vouch_for_95_percent(
    n: int, wrong: int, expected: float | None
) -> None:
    right = np.arange(n) >= wrong  # the surest are wrong, so that less than all never do
    assert reject_threshold(np.linspace(0.99, 0.5, n), right) == expected


def test_a_threshold_may_lie_below_a_dip_of_precision() -> None:
    right = np.array([True] * 19 + [False] + [True] * 19 + [False] * 4)  # 2/21 is above 5%, 1/20 and 2/40 are not
    confidence = np.linspace(0.99, 0.5, len(right))
    assert reject_threshold(confidence, right) == confidence[38]


def test_equal_confidences_are_accepted_together_or_not_at_all() -> None:
    surest = np.full(19, 0.9)
    assert reject_threshold(np.append(surest, [0.8, 0.8]), np.array([True] * 20 + [False])) == 0.9
    assert reject_threshold(surest, np.array([True] * 18 + [False])) is None


@pytest.mark.parametrize("n", [30, 100, 400])
@pytest.mark.parametrize("power", [0.2, 1.0])
def test_other_answers_above_the_threshold_are_wrong_in_5_percent_at_most(n: int, power: float) -> None:
    """On average over many draws, where an answer of confidence c is right with a probability of c ** power."""
    rng = np.random.default_rng(0)
    grid = np.linspace(0, 1, 2001)
    wrong = 1 - grid**power
    beyond = np.cumsum(wrong[::-1])[::-1] / np.arange(len(grid), 0, -1)  # share of wrong ones among those from c on
    shares, accepts = [], 0
    for _ in range(2000):
        confidence = rng.random(n)
        threshold = reject_threshold(confidence, rng.random(n) < confidence**power)
        accepts += threshold is not None
        shares.append(0.0 if threshold is None else beyond[np.searchsorted(grid, threshold)])
    assert np.mean(shares) <= 0.05
    if n == 400:  # and it does not keep the bound by never accepting anything
        assert accepts > 1000


@pytest.mark.parametrize(("n", "rank"), [(18, None), (19, 19), (20, 20), (39, 39), (66, 65), (99, 97), (199, 194)])
def test_the_limit_is_the_conformal_rank_worked_by_hand(n: int, rank: int | None) -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1.0, n + 1))
    assert distance_limit(distances) == rank


@pytest.mark.parametrize("draw", ["exponential", "standard_normal", "standard_cauchy"])
def test_another_image_like_them_is_beyond_the_limit_as_seldom_as_promised(draw: str) -> None:
    rng = np.random.default_rng(0)
    beyond = [np.mean(getattr(rng, draw)(size=200) > distance_limit(getattr(rng, draw)(size=99))) for _ in range(2000)]
    assert np.mean(beyond) == pytest.approx(
        0.03, abs=0.002
    )  # the 97th of 99: three of the 100 places of another are above it


@pytest.mark.parametrize("flip_at_test", [False, True])
def test_calibrate_makes_an_overconfident_classifier_say_what_it_knows(flip_at_test: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=["a", "b"], arch="resnet18", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3, other=None,
        flip_at_test=flip_at_test,
    )  # fmt: skip
    model = Classifier(config)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    model.eval()
    with torch.no_grad():
        logits = model.views(torch.from_numpy(images))[0].mean(dim=0)
        margin = logits[:, 1] - logits[:, 0]
        model.head.weight *= 20 / margin.std()  # nearly always sure
        model.head.bias.copy_(torch.tensor([0.0, -20 * float(margin.mean() / margin.std())]))
    certain = model.predict(torch.from_numpy(images))[0].numpy()
    with torch.no_grad():
        chance = (model.views(torch.from_numpy(images))[0].mean(dim=0) / 10).softmax(dim=1)[:, 1].numpy()
    labels = (rng.random(120) < chance).astype(np.int64)  # as a classifier that is ten times less sure would be right
    train = Split(rng.integers(0, 256, (90, 40, 40, 3), dtype=np.uint8), np.arange(90) % 2, [])  # of source_size
    calibrate(model, train, Split(images, labels, []))
    probabilities, distances = (answer.numpy() for answer in model.predict(torch.from_numpy(images)))
    before, after = (-np.log(p[range(120), labels]).mean() for p in (certain, probabilities))
    assert after < 0.8 * before
    assert 5 < model.config.temperature < 15
    assert model.config.reject_threshold == reject_threshold(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    )
    assert model.config.distance_dims == 64
    assert model.config.distance_limit == pytest.approx(np.sort(distances)[117], rel=1e-4)  # of 120 the 118th
    resized = resize(torch.from_numpy(train.images), 32)
    with torch.no_grad():
        features = model.views(resized)[1].mean(dim=(2, 3))
    torch.testing.assert_close(
        model.distance(features), fit_distance(features, train.labels, 2)(features), rtol=1e-3, atol=1e-3
    )
    model.save_pretrained(tmp_path / "model")
    loaded = Classifier.from_pretrained(tmp_path / "model")
    assert torch.equal(loaded.predict(torch.from_numpy(images))[1], model.predict(torch.from_numpy(images))[1])


@pytest.mark.parametrize("n_train", [1, 2, 3])
def test_a_handful_of_training_images_calibrates_and_can_be_loaded(n_train: int, tmp_path: Path) -> None:
    """Of one there is nothing to vary, of one a class nothing within it."""
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=["a", "b", "c"], arch="test_efficientnet", image_size=32, mean=(0.5,) * 3, std=(0.5,) * 3, other=None,
        flip_at_test=False,
    )  # fmt: skip
    model = Classifier(config)
    images = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(30) % 3
    calibrate(model, Split(images[:n_train], labels[:n_train], []), Split(images, labels, []))
    assert (model.config.distance_limit is None) == (n_train == 1)
    model.save_pretrained(tmp_path / "model")
    assert torch.isfinite(Classifier.from_pretrained(tmp_path / "model").predict(torch.from_numpy(images))[1]).all()
