from __future__ import annotations

import pytest
import torch
from torch import nn

from tinycats.classifier.matmul_conv import MatmulConv2d
from tinycats.classifier.network import Classifier, ClassifierConfig


def gradients(layer: nn.Conv2d, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    pixels = pixels.clone().requires_grad_()
    out = layer(pixels)
    weights = torch.linspace(-1, 1, out.numel()).view(out.shape)
    dx, dw = torch.autograd.grad((out * weights).sum(), (pixels, layer.weight))
    return out, dx, dw


@pytest.mark.parametrize(("size", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (3, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("side", [(4, 4), (3, 5), (3, 3), (7, 7), (20, 20)])
def test_it_is_the_convolution(size: int, stride: int, padding: int, side: tuple[int, int]) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, size, stride, padding, bias=False)
    pixels = torch.randn(2, 5, *side)
    for ours, theirs in zip(gradients(MatmulConv2d.like(conv), pixels), gradients(conv, pixels), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_taps_that_meet_only_padding_have_no_gradient_in_bf16() -> None:
    """oneDNN leaves memory there that nobody wrote."""
    layer = MatmulConv2d(64, 64, 3, 1, 1, bias=False)
    with torch.autocast("cpu", torch.bfloat16):
        layer(torch.randn(8, 64, 1, 1)).float().sum().backward()
    assert layer.weight.grad is not None
    outside = layer.weight.grad.clone()
    outside[:, :, 1, 1] = 0
    assert (outside == 0).all()
    assert (layer.weight.grad[:, :, 1, 1] != 0).any()


def test_the_classifier_trains_with_it_and_keeps_its_weights() -> None:
    torch.manual_seed(0)
    config = ClassifierConfig(
        classes=["a", "b"],
        arch="resnet18",
        image_size=64,
        mean=(0.5,) * 3,
        std=(0.5,) * 3,
        other=None,
        flip_at_test=False,
    )
    model = Classifier(config)
    large = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(large) == 16
    assert all(type(m) is MatmulConv2d and m.weight.device.type == "cpu" for m in large)
    pixels = torch.rand(2, 3, 64, 64)
    evaluated = model.eval()(pixels)[0]
    for conv in large:
        conv.train()  # these alone: the norms keep their statistics
    torch.testing.assert_close(model(pixels)[0], evaluated, rtol=1e-4, atol=1e-4)
