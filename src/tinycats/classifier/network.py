"""The breed classifier: one of timm's networks, global average pooling and a linear head."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinycats.classifier.distance import ClassDistance
from tinycats.classifier.matmul_conv import use_matmul
from tinycats.data.pixels import to_float
from tinycats.learning.pretrained import ModelConfig, PretrainedModel
from tinycats.runtime.networks import NetworkName
from tinycats.runtime.params import ImageSize

Channels = tuple[float, float, float]
Positive = Annotated[float, Field(gt=0)]


class ClassifierConfig(ModelConfig):
    model_type: Literal["tinycats-classifier"] = "tinycats-classifier"
    arch: NetworkName
    image_size: ImageSize  # of the images that are given
    mean: Channels  # what pixels in [0, 1] are reduced by,
    std: Channels  # and then divided by
    other: str | None  # the class that is not a cat, if there is one
    flip_at_test: bool  # predict() averages over the picture and its mirror image
    temperature: Positive = 1.0  # divides the logits before the softmax
    reject_threshold: Annotated[float, Field(ge=0, le=1)] | None = None  # below it "not sure"; None: there is none
    # Of the space in which the distance to the training images is measured; 0: it is not
    distance_dims: Annotated[int, Field(ge=0, le=4096)] = 0
    distance_limit: Positive | None = None  # beyond it "unlike the training images"; None: there is no limit


class Classifier(PretrainedModel):
    config_type = ClassifierConfig
    config: ClassifierConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        from tinycats.backbones.networks import create_trunk, feature_channels  # what reads configs does without timm

        super().__init__(config)
        self.trunk = create_trunk(config.arch)
        channels = feature_channels(self.trunk, config.arch, config.image_size)
        self.head = nn.Linear(channels, config.num_classes)
        use_matmul(self.trunk)
        # On CPUs too, convolutions are up to twice as fast with channels last
        self.trunk.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.register_buffer("mean", torch.tensor(config.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.std).view(1, 3, 1, 1), persistent=False)
        self.distance = ClassDistance(channels, config.num_classes, config.distance_dims)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and the last feature map (B, C, h, w) of float pixels (B, 3, H, W) in [0, 1]."""
        features = self.trunk((pixels - self.mean) / self.std)  # (B, C, h, w)
        return self.head(features.mean(dim=(2, 3))), features

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (V, B, K) and the feature map (B, C, h, w) of uint8 images (B, H, W, 3).

        The views of a picture are the picture itself and, with flip_at_test, its mirror image.
        """
        pixels = to_float(images)
        if not self.config.flip_at_test:
            logits, features = self(pixels)
            return logits.float()[None], features.float()
        logits, features = self(torch.cat([pixels, pixels.flip(3)]))  # (2B, K)
        # unflatten and not chunk: the latter makes the ONNX exporter fix the size of the batch
        return logits.float().unflatten(0, (2, -1)), features.float().unflatten(0, (2, -1))[0]

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities (B, K), the distance (B,) and the feature map (B, C, h, w) of uint8 images (B, H, W, 3).

        The distance is that to the nearest class of the training images (see ClassDistance).
        """
        logits, features = self.views(images)
        probabilities = (logits / self.config.temperature).softmax(dim=2).mean(dim=0)
        return probabilities, self.distance(features.mean(dim=(2, 3))), features

    @torch.inference_mode()
    def predict(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, K) and distances (B,), float32, of uint8 images (B, H, W, 3)."""
        return self.answers(images)[:2]

    @torch.inference_mode()
    def predict_unscaled(self, images: Tensor) -> Tensor:
        """What predict() would return as probabilities without temperature scaling, to tell what it is good for."""
        return self.views(images)[0].softmax(dim=2).mean(dim=0)
