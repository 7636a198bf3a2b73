"""Temperature and reject threshold, against cases with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tinycats.classifier.calibration import calibrate, fit_temperature, reject_threshold
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
        ("11111", 0.0),  # all right: nothing is rejected
        ("11110", 0.6),  # 4 of 4, then 4 of 5
        ("01111", None),  # the surest is wrong: 0, 1/2, 2/3, 3/4, 4/5
        ("10111", 0.9),
        ("00000", None),
    ],
)
def test_thresholds_worked_by_hand(right: str, expected: float | None) -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    shuffled = np.array([3, 0, 4, 1, 2])
    hits = np.array([digit == "1" for digit in right])
    assert reject_threshold(confidence[shuffled], hits[shuffled]) == expected


def test_a_threshold_may_lie_below_a_dip_of_precision() -> None:
    right = np.array([True] * 10 + [False] + [True] * 9 + [False] * 4)  # 10/11 is below 95%, 19/20 is not
    confidence = np.linspace(0.99, 0.5, len(right))
    assert reject_threshold(confidence, right) == confidence[19]


def test_equal_confidences_are_accepted_together_or_not_at_all() -> None:
    assert reject_threshold(np.array([0.9, 0.8, 0.8]), np.array([True, True, False])) == 0.9
    assert reject_threshold(np.array([0.8, 0.8]), np.array([True, False])) is None


@pytest.mark.parametrize("flip_at_test", [False, True])
def test_calibrate_makes_an_overconfident_classifier_say_what_it_knows(flip_at_test: bool) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(classes=["a", "b"], arch="resnet18", image_size=32, other=None, flip_at_test=flip_at_test)
    model = Classifier(config)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (120, 32, 32, 3), dtype=np.uint8)
    model.eval()
    with torch.no_grad():
        logits = model.views(torch.from_numpy(images))[0].mean(dim=0)
        margin = logits[:, 1] - logits[:, 0]
        model.head.weight *= 20 / margin.std()  # nearly always sure
        model.head.bias.copy_(torch.tensor([0.0, -20 * float(margin.mean() / margin.std())]))
    certain = model.predict(torch.from_numpy(images)).numpy()
    with torch.no_grad():
        chance = (model.views(torch.from_numpy(images))[0].mean(dim=0) / 10).softmax(dim=1)[:, 1].numpy()
    labels = (rng.random(120) < chance).astype(np.int64)  # as a classifier that is ten times less sure would be right
    calibrate(model, Split(images, labels, []))
    probabilities = model.predict(torch.from_numpy(images)).numpy()
    before, after = (-np.log(p[range(120), labels]).mean() for p in (certain, probabilities))
    assert after < 0.8 * before
    assert 5 < model.config.temperature < 15
    assert model.config.reject_threshold == reject_threshold(
        probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    )
