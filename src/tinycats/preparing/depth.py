"""From grey values of more than 8 bits, or floating-point ones, to 8 bits: by the depth that holds them, or by their range."""

from __future__ import annotations

import numpy as np

DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras, microscopes and scanners have, often in files of 16


def to_eight_bits(values: np.ndarray, bits: int | None = None) -> np.ndarray | None:
    """Grey values, integers or floats [H, W], as uint8; None where not one is finite.

    Whole numbers count as of `bits`, or else of the least of DEPTHS that holds them all. Floats count as from 0 to 1 or to what
    such a depth holds. What has values below 0 or fits none of these is stretched between its least and its largest.
    """
    finite = np.isfinite(values) if values.dtype.kind == "f" else None
    if finite is not None and not finite.all():
        if not finite.any():
            return None
        values = np.nan_to_num(
            values, nan=values[finite].min(), posinf=values[finite].max(), neginf=values[finite].min()
        )
    low, high = float(values.min()), float(values.max())
    fitting = [depth for depth in DEPTHS if high < 2**depth]
    if low >= 0 and fitting and finite is None:
        return (values >> (max(bits or fitting[0], 8) - 8)).clip(0, 255).astype(np.uint8)
    if low >= 0 and 1 / 16 < high <= 1:
        low, high = 0.0, 1.0
    elif low >= 0 and fitting and high > 1:
        low, high = 0.0, 2.0 ** fitting[0] - 1
    elif low >= 0:
        low = 0.0
    scale = 255 / (high - low) if high > low else 0.0
    # Scaled first: the difference of two floats may be more than a float holds
    return (
        (values.astype(np.float32) * np.float32(scale) - np.float32(low * scale)).round().clip(0, 255).astype(np.uint8)
    )
