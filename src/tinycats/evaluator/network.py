"""The network whose features judge the generator.

A small plain CNN with a seed of its own. It is never used for guidance or selection, and it depends on the data alone,
so that FD-classifier stays comparable between experiments on the classifier.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from tinycats.data.pixels import to_float
from tinycats.learning.pretrained import ModelConfig, PretrainedModel


class EvaluatorConfig(ModelConfig):
    model_type: Literal["tinycats-evaluator"] = "tinycats-evaluator"
    image_size: int
    width: int


def _conv(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU()
    )


class Evaluator(PretrainedModel):
    config_type = EvaluatorConfig
    config: EvaluatorConfig

    def __init__(self, config: EvaluatorConfig) -> None:
        super().__init__(config)
        w = config.width
        self.trunk = nn.Sequential(
            _conv(3, w, 2), _conv(w, 2 * w, 1), _conv(2 * w, 2 * w, 2), _conv(2 * w, 4 * w, 1),
            _conv(4 * w, 4 * w, 2), _conv(4 * w, 4 * w, 1),
        )  # fmt: skip
        self.head = nn.Linear(4 * w, config.num_classes)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and pooled features (B, 4 width) of float pixels (B, 3, H, W) in [0, 1]."""
        features = self.trunk(2 * pixels - 1).mean(dim=(2, 3))  # (B, 4 width)
        return self.head(features), features

    @torch.inference_mode()
    def features(self, images: Tensor) -> Tensor:
        """Return features, float32 (B, 4 width), of uint8 images (B, H, W, 3)."""
        return self(to_float(images))[1].float()
