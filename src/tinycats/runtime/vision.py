"""torchvision, importable with a CPU-only torch.

PyPI's torchvision wheel for Linux is linked to CUDA, so with a CPU torch its C++ operators do not load and its import
fails on the missing schemas. Declaring the two schemas first cures that; none of those operators is used here.
`torchvision.io` stays unusable on such a machine: images are decoded with Pillow.
"""

from __future__ import annotations

import importlib.util

import torch

if torch.version.cuda is None and importlib.util.find_spec("torchvision") is not None:
    for _schema in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        try:
            torch.library.define(f"torchvision::{_schema.split('(')[0]}", _schema[_schema.index("(") :])
        except RuntimeError:  # already there: the C++ operators did load
            break

import torchvision

__all__ = ["torchvision"]
