"""A convolution that trains as one matrix product where its output is only a few pixels in size."""

from __future__ import annotations

from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Up to 4 x 4 output pixels. On a CPU with AMX the product takes 0.3 to 0.7 of the time there; at 7 x 7 nothing is left of
# the gain (benchmarks/convolutions.py).
MAX_PIXELS = 16


class MatmulConv2d(nn.Conv2d):
    """nn.Conv2d, with the same weights, for square kernels without dilation, groups or bias.

    In training on a CPU, small outputs are computed from a matrix of input patches (im2col): oneDNN's weight gradient
    costs as much as for a large picture there, and in bf16 it holds memory that nobody wrote where a tap of the kernel
    meets nothing but padding.
    """

    @classmethod
    def like(cls, conv: nn.Conv2d) -> Self:
        """One that shares the weight of `conv`."""
        size, stride, padding = conv.kernel_size[0], conv.stride[0], conv.padding[0]
        made = cls(conv.in_channels, conv.out_channels, size, stride, padding, bias=False, device="meta")
        made.weight = conv.weight
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, O, h, w)."""
        size, stride, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        h, w = ((side + 2 * padding - size) // stride + 1 for side in input.shape[2:])
        if not self.training or input.device.type != "cpu" or h * w > MAX_PIXELS:
            return super().forward(input)
        padded = F.pad(input.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))  # (B, H', W', C)
        rows, columns = stride * (h - 1) + 1, stride * (w - 1) + 1
        taps = [padded[:, i : i + rows : stride, j : j + columns : stride] for i in range(size) for j in range(size)]
        patches = torch.cat(taps, dim=3).flatten(0, 2)  # (B h w, size size C)
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)  # (O, size size C)
        return F.linear(patches, weight).view(-1, h, w, self.out_channels).permute(0, 3, 1, 2)


def use_matmul(trunk: nn.Module) -> None:
    """Replace every 3 x 3 convolution below `trunk` that is one of those."""
    for parent in list(trunk.modules()):
        for name, child in parent.named_children():
            if type(child) is nn.Conv2d and child.kernel_size == (3, 3):  # not of a class with a forward of its own
                assert isinstance(child, nn.Conv2d)
                if child.groups == 1 and child.dilation == (1, 1) and child.bias is None:
                    setattr(parent, name, MatmulConv2d.like(child))
