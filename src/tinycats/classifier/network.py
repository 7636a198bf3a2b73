"""The breed classifier: a torchvision ResNet, global average pooling and a linear head."""

from __future__ import annotations

import urllib.error
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from tinycats.classifier.matmul_conv import use_matmul
from tinycats.data.pixels import middle, to_float
from tinycats.learning.pretrained import ModelConfig, PretrainedModel
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import Arch
from tinycats.runtime.vision import torchvision

# ImageNet's channel statistics, which torchvision's pretrained weights expect.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


class ClassifierConfig(ModelConfig):
    model_type: Literal["tinycats-classifier"] = "tinycats-classifier"
    arch: Arch
    image_size: int  # of the pictures that are given
    crop_size: int | None = None  # of their middle, which the network sees; None: all of them
    other: str | None  # the class that is not a cat, if there is one
    flip_at_test: bool  # predict() averages over the picture and its mirror image
    temperature: Annotated[float, Field(gt=0)] = 1.0  # divides the logits before the softmax
    reject_threshold: Annotated[float, Field(ge=0, le=1)] | None = None  # below it "not sure"; None: there is none


class Classifier(PretrainedModel):
    config_type = ClassifierConfig
    config: ClassifierConfig
    mean: Tensor
    std: Tensor

    def __init__(self, config: ClassifierConfig) -> None:
        super().__init__(config)
        resnet = torchvision.models.get_model(config.arch, weights=None)
        self.head = nn.Linear(resnet.fc.in_features, config.num_classes)
        del resnet.fc, resnet.avgpool
        self.trunk = nn.Sequential(*(module for _, module in resnet.named_children()))
        use_matmul(self.trunk)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, K) and the last feature map (B, C, h, w) of float pixels (B, 3, H, W) in [0, 1]."""
        features = self.trunk((pixels - self.mean) / self.std)  # (B, C, h, w)
        return self.head(features.mean(dim=(2, 3))), features

    def views(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (V, B, K) and the feature map (B, C, h, w) of uint8 images (B, H, W, 3).

        The views of a picture are its middle and, with flip_at_test, the mirror image of that.
        """
        if self.config.crop_size is not None:
            rows, columns = middle(images.shape[1], images.shape[2], self.config.crop_size)
            images = images[:, rows, columns]
        pixels = to_float(images)
        if not self.config.flip_at_test:
            logits, features = self(pixels)
            return logits.float()[None], features.float()
        logits, features = self(torch.cat([pixels, pixels.flip(3)]))  # (2B, K)
        # unflatten and not chunk: the latter makes the ONNX exporter fix the size of the batch
        return logits.float().unflatten(0, (2, -1)), features.float().unflatten(0, (2, -1))[0]

    def probabilities(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities (B, K) and the feature map (B, C, h, w) of uint8 images (B, H, W, 3)."""
        logits, features = self.views(images)
        return (logits / self.config.temperature).softmax(dim=2).mean(dim=0), features

    @torch.inference_mode()
    def predict(self, images: Tensor) -> Tensor:
        """Return probabilities, float32 (B, K), of uint8 images (B, H, W, 3)."""
        return self.probabilities(images)[0]

    @torch.inference_mode()
    def predict_unscaled(self, images: Tensor) -> Tensor:
        """What predict() would return without temperature scaling, to tell what it is good for."""
        return self.views(images)[0].softmax(dim=2).mean(dim=0)

    def load_imagenet(self) -> None:
        """Load torchvision's ImageNet weights into the trunk. Raises UserError where they are unavailable."""
        weights = torchvision.models.get_model_weights(self.config.arch).DEFAULT
        try:
            state = weights.get_state_dict(progress=False, check_hash=True)
        except (urllib.error.URLError, TimeoutError, ConnectionError, RuntimeError) as error:
            raise UserError(
                f"classifier.pretrained: the ImageNet weights of {self.config.arch} could not be downloaded ({error}); "
                "do without them: -S classifier.pretrained=false"
            ) from None
        pretrained = torchvision.models.get_model(self.config.arch)
        pretrained.load_state_dict(state)
        del pretrained.fc, pretrained.avgpool
        self.trunk.load_state_dict(nn.Sequential(*pretrained.children()).state_dict())
