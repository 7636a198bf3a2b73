"""The classifier as users of the package have it, whatever its files are: a model directory, ONNX, or on the Hub."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image

from tinycats.api.images import Picture, square_of
from tinycats.api.models import usual_model
from tinycats.api.nearest import class_named, require_model
from tinycats.classifier import network
from tinycats.export.onnx_models import OnnxClassifier
from tinycats.learning.pretrained import is_repository
from tinycats.publishing.layout import HEAD_NAME, MANIFEST_NAME
from tinycats.releasing.pretrained import released_model
from tinycats.runtime.errors import UserError

BATCH_SIZE = 32
UNLIKE = "unlike the training images"
# uint8 [B, S, S, 3] -> float32 probabilities [B, K], distances [B] and last feature map [B, C, h, w]
Answers = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Prediction:
    """What the classifier says of one image.

    `class_name` is the most probable class and `probability` (0 to 1) what it is given; `top` has the most probable classes with
    theirs, the first one first. `sure`: whether the probability reaches the classifier's threshold and the image is not unlike.
    `unlike`: whether the image is further from the training images than they are from each other, so that its classes mean
    little; `distance` (from 0, without a unit) is how far. `sure` and `unlike` are None where the classifier has no threshold or
    no limit.
    """

    class_name: str
    probability: float
    sure: bool | None
    unlike: bool | None
    distance: float
    top: tuple[tuple[str, float], ...]

    @property
    def answer(self) -> str:
        """In words: the class, "not sure (class?)" or "unlike the training images"."""
        if self.unlike:
            return UNLIKE
        return f"not sure ({self.class_name}?)" if self.sure is False else self.class_name


class Classifier:
    """`path` says where it comes from; `classes` are its K classes in their order; `image_size` is what it sees, in pixels."""

    def __init__(
        self, answers: Answers, config: network.ClassifierConfig, path: Path | str, head: np.ndarray | None
    ) -> None:
        """`head`: the weights of the last layer, float32 [K, C]; None: there are none, and no heat map."""
        self.path, self.config = path, config
        self._answers, self._head = answers, head

    @classmethod
    def from_pretrained(
        cls, path: str | os.PathLike[str] | None = None, *, subfolder: str = "classifier", revision: str | None = None
    ) -> Self:
        """Load a classifier.

        `path`: a model directory, an .onnx file, a folder that the pipeline has published or `tinycats release` has written, or
        user/name on the Hugging Face Hub, where `subfolder` and `revision` (branch, tag or commit) count. None: models/classifier
        of the project here, or, where nothing was trained yet, the one in pretrained/. Raises UserError where it is missing or
        damaged.
        """
        if path is None:
            path = usual_model("classifier")
        elif is_repository(path):
            found = network.Classifier.from_pretrained(str(path), subfolder=subfolder, revision=revision)
            return cls._of_torch(found, str(path))
        path = Path(path)
        require_model(path)
        if (path / MANIFEST_NAME).is_file():
            path = released_model(path)
        if path.suffix != ".onnx":
            return cls._of_torch(network.Classifier.from_pretrained(path), path)
        session = OnnxClassifier(path)
        head = path.parent.parent / HEAD_NAME  # as it is published
        weights = np.fromfile(head, "<f4") if head.is_file() else None
        if weights is not None and weights.size % session.config.num_classes:
            raise UserError(f"{head}: is not the head of {path}, which has {session.config.num_classes} classes")
        return cls(
            session, session.config, path, None if weights is None else weights.reshape(session.config.num_classes, -1)
        )

    @classmethod
    def _of_torch(cls, model: network.Classifier, path: Path | str) -> Self:
        @torch.inference_mode()
        def answers(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            probabilities, distances, features = model.answers(torch.from_numpy(images))
            return probabilities.numpy(), distances.numpy(), features.numpy()

        return cls(answers, model.config, path, model.head.weight.detach().numpy())

    @property
    def classes(self) -> list[str]:
        return self.config.classes

    @property
    def image_size(self) -> int:
        return self.config.image_size

    def __repr__(self) -> str:
        return f"<Classifier {self.path}: {len(self.classes)} classes, {self.image_size} px>"

    def square(self, image: Picture) -> np.ndarray:
        """What the classifier sees of an image: uint8 [S, S, 3] with S = image_size."""
        return square_of(image, self.image_size, self.config.fit)

    def predict(self, images: Iterable[Picture], top: int = 5) -> list[Prediction]:
        """An answer for each image: a PIL image, an array uint8 [H, W, 3] (RGB), or the name of a file.

        `top`: how many classes an answer has, at most. Raises UserError for an image that cannot be read, for such a `top`, and
        where `images` is one image instead of several, or the classifier is damaged.
        """
        if isinstance(images, (str, os.PathLike, Image.Image)) or (isinstance(images, np.ndarray) and images.ndim == 3):
            raise UserError("predict takes a list of images: write [image] for one")
        if not isinstance(top, Integral) or top < 1:
            raise UserError(f"top: must be a whole number from 1 on, got {top!r}")
        squares = [self.square(image) for image in images]
        found = []
        for start in range(0, len(squares), BATCH_SIZE):
            probabilities, distances, _ = self._answers(np.stack(squares[start : start + BATCH_SIZE]))
            found += [
                self._prediction(row, float(distance), top)
                for row, distance in zip(probabilities, distances, strict=True)
            ]
        return found

    def _prediction(self, probabilities: np.ndarray, distance: float, top: int) -> Prediction:
        if not (np.isfinite(probabilities).all() and np.isfinite(distance)):
            raise UserError(f"{self.path}: gives values that are not finite; its weights are damaged")
        best = (-probabilities).argsort(kind="stable")[:top]
        ranked = tuple((self.classes[label], float(probabilities[label])) for label in best)
        threshold, limit = self.config.reject_threshold, self.config.distance_limit
        unlike = None if limit is None else distance > limit
        sure = None if threshold is None else not unlike and bool(probabilities[best[0]] >= threshold)
        return Prediction(*ranked[0], sure, unlike, distance, ranked)

    def heat_map(self, image: Picture, class_name: str | None = None) -> np.ndarray:
        """How much each place of `square(image)` speaks for a class: float32 [S, S] from 0 to 1, the strongest place.

        A class activation map (Zhou et al. 2016), enlarged bilinearly; 0 where a place speaks against the class, and everywhere
        if all do. `class_name`: None is the most probable class. Raises UserError for an unknown class, and for an .onnx file
        without the head's weights next to it.
        """
        if self._head is None:
            raise UserError(f"{self.path}: comes without {HEAD_NAME}, which a heat map needs")
        probabilities, _, features = (answer[0] for answer in self._answers(np.stack([self.square(image)])))
        name = self.classes[int(probabilities.argmax())] if class_name is None else class_name
        weights = self._head[self.classes.index(class_named(name, self.classes, "class_name"))]  # (C,)
        heat = np.tensordot(weights, features, axes=1).clip(min=0)  # (h, w)
        if heat.max() > 0:
            heat /= heat.max()
        size = (self.image_size, self.image_size)
        return np.asarray(Image.fromarray(heat.astype(np.float32)).resize(size, Image.Resampling.BILINEAR))
