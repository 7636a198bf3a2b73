"""The generator as users of the package have it, whatever its files are: a model directory, ONNX, or on the Hub."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
from torch import Tensor

from tinycats.adapters.adapter import load_adapted
from tinycats.api.models import ModelName, usual_model
from tinycats.api.nearest import class_named, require_adapter, require_model
from tinycats.export.onnx_models import OnnxGenerator
from tinycats.generator.network import TinyDiT, TinyDiTConfig
from tinycats.generator.sampler import SUFFIX, Denoiser, initial_noise, load_sampler, sample, to_uint8
from tinycats.learning.pretrained import CONFIG_NAME, WEIGHTS_NAME, download, is_repository
from tinycats.publishing.layout import MANIFEST_NAME
from tinycats.releasing.pretrained import released_model
from tinycats.runtime.bounds import MAX_SEED
from tinycats.runtime.errors import UserError
from tinycats.runtime.params import MAX_GUIDANCE, MAX_STEPS, SamplerSettings

Wanted = str | Mapping[str, float]  # a class, or the shares of several


class Generator:
    """`path` says where it comes from; `classes` are its K classes in their order, of which `usual_classes` are made where none
    is named; images have `image_size` pixels a side; `few_step`: it is a student, made for few steps and without guidance.
    """

    def __init__(
        self, network: Denoiser, settings: SamplerSettings, path: Path | str, usual_classes: list[str] | None = None
    ) -> None:
        self.path, self.settings = path, settings
        self.config = cast(TinyDiTConfig, network.config)
        self.usual_classes = usual_classes or self.classes
        self._network = network

    @classmethod
    def from_pretrained(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        student: bool = False,
        adapter: str | os.PathLike[str] | None = None,
        revision: str | None = None,
    ) -> Self:
        """Load a generator with the settings of its sampler, which lie next to it.

        `path`: a model directory, an .onnx file, a folder that the pipeline has published or `tinycats release` has written, or
        user/name on the Hugging Face Hub, where `revision` (branch, tag or commit) counts. None: the one of the project here in
        models/, or, where nothing was trained yet, the one in pretrained/. `student`: of such a folder or project the student,
        which needs few steps, instead of its teacher. `adapter`: directory of an adapter that was made for this generator (or for
        the teacher of this student), which must be a model directory. Raises UserError where something is missing, damaged or
        does not belong together.
        """
        name: ModelName = "student" if student else "generator"
        source: Path | str
        if path is None:
            source = path = usual_model(name)
        elif is_repository(path):
            files = [f"{name}/{CONFIG_NAME}", f"{name}/{WEIGHTS_NAME}", f"{name}{SUFFIX}"]
            source, path = str(path), download(str(path), files, revision) / name
        else:
            source = path = Path(path)
        require_model(path)
        if (path / MANIFEST_NAME).is_file():
            source = path = released_model(path, name)
        onnx = path.suffix == ".onnx"
        beside = path.parent.parent / path.stem if onnx else path  # onnx/student.onnx has it at student.sampler.json
        if adapter is None:
            network = OnnxGenerator(path) if onnx else TinyDiT.from_pretrained(path)
            return cls(network, load_sampler(beside), source)
        require_adapter(Path(adapter))
        if onnx:
            raise UserError(
                f"adapter: {path} is an .onnx file; an adapter needs a model directory, as `dvc repro` makes it"
            )
        adapted = load_adapted(path, Path(adapter))
        return cls(adapted, load_sampler(beside), source, adapted.config.classes[-1:])

    @property
    def classes(self) -> list[str]:
        return self.config.classes

    @property
    def image_size(self) -> int:
        return self.config.image_size

    @property
    def few_step(self) -> bool:
        return self.config.few_step

    def __repr__(self) -> str:
        kind = "student" if self.few_step else "generator"
        return f"<Generator {self.path}: {kind}, {len(self.classes)} classes, {self.image_size} px, {self.settings.steps} steps>"

    def sampler(self, steps: int | None = None, guidance: float | None = None) -> SamplerSettings:
        """The settings as evaluated, with other `steps` (1 to 1000) or another `guidance` (0 to 100; 1 is none).

        Raises UserError for values that are out of range, and that a student was not made for.
        """
        usual = self.settings.steps
        if self.few_step and guidance is not None:
            raise UserError(f"guidance: {self.path} is a student, which has guidance baked in; leave it out")
        if guidance is not None and not 0 <= guidance <= MAX_GUIDANCE:
            raise UserError(f"guidance: must be from 0 to {MAX_GUIDANCE}, got {guidance}")
        if steps is not None and not 1 <= steps <= MAX_STEPS:
            raise UserError(f"steps: must be from 1 to {MAX_STEPS}, got {steps}")
        if self.few_step and steps is not None and steps not in (made_for := _steps_of_student(usual)):
            words = " or ".join(map(str, made_for))
            raise UserError(f"steps: {self.path} is a student, made for {words} steps, got {steps}")
        asked = {"steps": steps, "guidance": guidance}
        return self.settings.model_copy(update={key: value for key, value in asked.items() if value is not None})

    def generate(
        self,
        classes: Wanted | Sequence[Wanted] | None = None,
        count: int = 1,
        *,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """`count` images of each class, uint8 [N, S, S, 3], those of a class one after the other.

        A class is a name, or a mixture as {name: share}; None: all, or the adapter's own. An image depends on its class, `seed`,
        its number among those of the class, `steps` and `guidance` alone (see `sampler`). Raises UserError for an unknown class,
        and as `sampler` does.
        """
        wanted: Sequence[Wanted] | None = [classes] if isinstance(classes, (str, Mapping)) else classes
        of = [self._weights(each) for each in (self.usual_classes if wanted is None else wanted)]
        if not of or _whole("count", count) < 1:
            raise UserError("classes and count: nothing to generate")
        settings = self.sampler(steps, guidance)
        return np.stack(
            [self._sample(self._noise(seed, number), weights, settings) for weights in of for number in range(count)]
        )

    def generate_one(
        self, wanted: Wanted, *, seed: int = 0, number: int = 0, steps: int | None = None, guidance: float | None = None
    ) -> np.ndarray:
        """Image `number` (from 0) of those that `generate` makes: uint8 [S, S, 3]."""
        return self._sample(self._noise(seed, number), self._weights(wanted), self.sampler(steps, guidance))

    def walk(
        self,
        stops: Sequence[tuple[Wanted, int]],
        frames: int,
        *,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> np.ndarray:
        """From one image to the next, uint8 [(len(stops) - 1) * frames + 1, S, S, 3].

        A stop is a class (as `generate` takes it) and a seed: its first image. `frames` are the steps to the next stop, on the
        arc between the noises, where all is as long as noise is. Raises UserError where there are fewer than two stops, and as
        `generate` does.
        """
        if any(isinstance(stop, str) or len(stop) != 2 for stop in stops):
            raise UserError("stops: each must be a class and a seed, as in [('Bengal', 1), ('Siamese', 2)]")
        if len(stops) < 2 or _whole("frames", frames) < 1:
            raise UserError("walk: needs two stops or more, and a frame or more between them")
        settings = self.sampler(steps, guidance)
        points = [(self._noise(seed, 0), self._weights(wanted)) for wanted, seed in stops]
        images = [self._sample(*points[0], settings)]
        for (noise, weights), (next_noise, next_weights) in pairwise(points):
            for frame in range(1, frames + 1):
                amount = frame / frames
                between = torch.lerp(weights, next_weights, amount)
                images.append(self._sample(_on_arc(noise, next_noise, amount), between, settings))
        return np.stack(images)

    def _weights(self, wanted: Wanted) -> Tensor:
        """Class weights, float32 (1, K + 1), of sum 1."""
        shares: Mapping[str, float] = {wanted: 1.0} if isinstance(wanted, str) else wanted
        weights = torch.zeros(1, len(self.classes) + 1)
        for name, share in shares.items():
            weights[0, self.classes.index(class_named(name, self.classes, "classes"))] += share
        if not (weights.isfinite().all() and (weights >= 0).all() and weights.sum() > 0):
            raise UserError(f"classes: shares must be 0 or more, and one more than 0, got {dict(shares)}")
        return weights / weights.sum()

    def _noise(self, seed: int, number: int) -> Tensor:
        if not 0 <= _whole("seed", seed) <= MAX_SEED:
            raise UserError(f"seed: must be from 0 to {MAX_SEED}, got {seed}")
        return initial_noise(seed, [number], self.image_size)

    def _sample(self, noise: Tensor, weights: Tensor, settings: SamplerSettings) -> np.ndarray:
        """One image, uint8 [S, S, 3]. On its own, because matrix products round differently in other batches."""
        return to_uint8(sample(self._network, noise, weights, settings))[0].numpy()


def _whole(name: str, value: int) -> int:
    if not isinstance(value, Integral):
        raise UserError(f"{name}: must be a whole number, got {value!r}")
    return value


def _steps_of_student(most: int) -> list[int]:
    """A student learns steps of 1, 1/2, 1/4 ...: it halves none that it was not evaluated with."""
    return [2**level for level in range(most.bit_length()) if 2**level <= most]


def _on_arc(start: Tensor, end: Tensor, amount: float) -> Tensor:
    """Between two noises of the same shape; 0 is start, 1 is end."""
    cosine = torch.dot(start.flatten(), end.flatten()) / (start.norm() * end.norm())
    angle = float(cosine.clamp(-1, 1).acos())
    if angle < 1e-6 or amount in (0, 1):
        return end if amount == 1 else start
    return (math.sin((1 - amount) * angle) * start + math.sin(amount * angle) * end) / math.sin(angle)
