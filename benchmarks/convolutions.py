"""Where a matrix product beats the convolution of oneDNN: forward and backward of ResNet18's later layers in bf16.

python benchmarks/convolutions.py
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from tinycats.classifier import matmul_conv
from tinycats.classifier.matmul_conv import MatmulConv2d

BATCH, RUNS = 32, 15


def milliseconds(layer: nn.Module, pixels: Tensor) -> float:
    """Median time of forward and backward."""
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(pixels.requires_grad_())
        out.backward(out)
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.manual_seed(0)
    matmul_conv.MAX_PIXELS = 10_000  # so that every size takes the product
    print("channels    stride  output     conv  product  (ms, forward and backward, median of", f"{RUNS})")
    for c_in, c_out, stride, size in [
        (512, 512, 1, 2), (512, 512, 1, 4), (256, 512, 2, 8), (256, 256, 1, 4), (256, 256, 1, 7), (128, 256, 2, 14),
    ]:  # fmt: skip
        conv = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels = torch.rand(BATCH, c_in, size, size).bfloat16().contiguous(memory_format=torch.channels_last)
        plain, product = (milliseconds(layer, pixels) for layer in (conv, MatmulConv2d.like(conv)))
        out_size = (size - 1) // stride + 1
        print(f"{c_in:3} -> {c_out:3}  {stride:6}  {out_size:2} x {out_size:2}  {plain:7.1f}  {product:7.1f}")


if __name__ == "__main__":
    main()
