import time

import pytest
import torch
from torch import nn

from tinycats.backbones.networks import create_trunk, load_imagenet
from tinycats.classifier.network import Classifier, ClassifierConfig
from tinycats.evaluation.latency import fold_norms, measure_latency

CPU = torch.device("cpu")


def test_warm_up_does_not_count_and_every_run_does():
    calls = []

    def slow_at_first() -> None:
        calls.append(1)
        time.sleep(0.2 if len(calls) <= 2 else 0.002)

    result = measure_latency(slow_at_first, batch_size=8, runs=5, device=CPU, warmup_runs=2)
    assert len(calls) == 7
    assert result["runs"] == 5
    assert 2 <= result["p50_ms"] <= result["p95_ms"] <= result["p99_ms"]
    assert result["p50_ms"] < 200
    assert result["images_per_second"] <= 8 / 0.002


def test_peak_memory_is_in_megabytes_of_what_was_held():
    def hold() -> None:
        torch.ones(50_000_000, dtype=torch.float32).sum()

    result = measure_latency(hold, batch_size=1, runs=3, device=CPU)
    assert 200 < result["peak_memory_mb"] < 8000


def test_percentiles_are_of_the_runs():
    delays = iter([0.0] * 3 + [0.001] * 19 + [0.05])

    def run() -> None:
        time.sleep(next(delays))

    result = measure_latency(run, batch_size=1, runs=20, device=CPU)
    assert result["p50_ms"] < 25 < result["p99_ms"]


@pytest.mark.parametrize("arch", ["resnet18", "tf_efficientnet_lite0"])
def test_norms_in_convolutions_change_no_answer(arch: str) -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=["a", "b"], other=None, arch=arch, image_size=64, mean=(0.5,) * 3, std=(0.5,) * 3, flip_at_test=True,
        distance_dims=2,
    )  # fmt: skip
    model = Classifier(config).eval()
    if arch == "tf_efficientnet_lite0":
        load_imagenet(model.trunk, arch, "")
    else:
        for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.5, 0.5)
            nn.init.uniform_(norm.running_mean, -0.5, 0.5)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
    for buffer in (model.distance.projection, model.distance.whitening):
        nn.init.normal_(buffer, std=0.1)
    images = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    folded = fold_norms(model)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())  # it is a copy
    with torch.inference_mode():
        for ours, theirs in zip(folded.answers(images), model.answers(images), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4 * float(theirs.abs().max()))
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_norm_of_nothing_before_it_stays() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.conv = nn.Conv2d(3, 5, 1)
            self.other = nn.BatchNorm2d(4)  # not of as many channels

    folded = fold_norms(Odd())
    assert isinstance(folded.norm, nn.BatchNorm2d)
    assert isinstance(folded.other, nn.BatchNorm2d)


def test_a_pre_activation_network_is_left_as_it_is() -> None:
    """Its norms come before the convolutions: none of them can become part of one before it."""
    trunk = create_trunk("resnetv2_50").eval()
    pixels = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(fold_norms(trunk)(pixels), trunk(pixels), rtol=1e-3, atol=1e-3)
