"""Synthetic cats: portraits drawn from the visible traits of twelve breeds, and dogs as `other`."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image

from tinycats.data.raw import RawImage
from tinycats.runtime.errors import UserError
from tinycats.runtime.parallel import map_in_order
from tinycats.runtime.track import track
from tinycats.sources.drawing import (
    Brush,
    Colour,
    Pose,
    Traits,
    darker,
    draw_body,
    draw_cat_head,
    draw_dog_head,
    draw_tail,
    lighter,
    mix,
)

_SUPERSAMPLING = 4
_HEAD_UNIT = 0.26  # half a head's width, of the image's side
_WALLS: tuple[Colour, ...] = (
    (168, 190, 160),
    (152, 152, 112),
    (214, 196, 164),
    (196, 158, 140),
    (184, 172, 200),
    (126, 168, 164),
)


BREEDS: dict[str, Traits] = {
    "Abyssinian": Traits(
        coat=(198, 112, 52), dark=(120, 62, 30), pale=(240, 196, 146), eyes=(176, 190, 70), nose=(176, 84, 62),
        pattern="ticked", head=(0.92, 0.93), wedge=0.3, ear=(1.08, 0.5), ear_spread=0.68, ear_bulge=0.1, body=0.82,
    ),
    "Bengal": Traits(
        coat=(226, 164, 74), dark=(62, 34, 20), pale=(250, 226, 180), eyes=(96, 184, 110), nose=(170, 80, 64),
        pattern="rosettes", head=(0.97, 0.95), ear=(0.68, 0.4), ear_bulge=0.12, body=1.05,
    ),
    "Birman": Traits(
        coat=(240, 216, 168), dark=(112, 76, 58), pale=(250, 236, 204), eyes=(64, 122, 220), nose=(120, 84, 80),
        pattern="points", wedge=0.08, ear=(0.7, 0.42), fluff=0.13, body=1.2, tail=0.3, gloves=True,
    ),
    "Bombay": Traits(
        coat=(34, 30, 34), dark=(14, 12, 14), pale=(48, 43, 48), eyes=(236, 150, 34), nose=(20, 18, 20),
        wedge=0.08, ear=(0.78, 0.42), ear_bulge=0.09, inner_ear=(84, 66, 70), eye=(0.24, 0.23),
    ),
    "British_Shorthair": Traits(
        coat=(106, 114, 130), dark=(70, 76, 92), pale=(128, 136, 152), eyes=(240, 148, 36), nose=(74, 76, 90),
        head=(1.16, 0.95), wedge=-0.1, ear=(0.56, 0.4), ear_spread=0.8, ear_bulge=0.13, inner_ear=(150, 128, 134),
        eye=(0.25, 0.25), eye_slant=0.0, body=1.28, tail=0.24,
    ),
    "Egyptian_Mau": Traits(
        coat=(206, 206, 202), dark=(48, 48, 52), pale=(236, 236, 232), eyes=(156, 208, 84), nose=(170, 100, 92),
        pattern="spots", head=(0.94, 0.94), wedge=0.24, ear=(0.88, 0.44), eye=(0.25, 0.21), body=0.9,
    ),
    "Maine_Coon": Traits(
        coat=(140, 98, 60), dark=(54, 34, 24), pale=(206, 170, 124), eyes=(210, 186, 72), nose=(168, 92, 76),
        pattern="marbled", head=(0.98, 1.0), wedge=0.05, ear=(1.02, 0.42), ear_spread=0.5, tufts=True, fluff=0.17,
        body=1.3, tail=0.36,
    ),
    "Persian": Traits(
        coat=(246, 238, 228), dark=(214, 196, 178), pale=(254, 250, 244), eyes=(226, 122, 30), nose=(222, 128, 122),
        head=(1.16, 0.96), wedge=-0.08, ear=(0.46, 0.36), ear_spread=0.82, ear_bulge=0.12, eye=(0.27, 0.28),
        eye_slant=-0.1, nose_height=0.12, fluff=0.17, body=1.4, tail=0.36,
    ),
    "Ragdoll": Traits(
        coat=(232, 230, 232), dark=(112, 118, 140), pale=(252, 251, 250), eyes=(56, 136, 232), nose=(216, 140, 140),
        pattern="points", head=(1.05, 0.95), wedge=0.08, ear=(0.68, 0.42), ear_spread=0.7, fluff=0.13, body=1.25,
        tail=0.3, blaze=True, gloves=True,
    ),
    "Russian_Blue": Traits(
        coat=(148, 166, 190), dark=(104, 120, 148), pale=(172, 188, 210), eyes=(76, 196, 90), nose=(102, 112, 138),
        head=(0.9, 0.95), wedge=0.3, ear=(0.96, 0.44), ear_spread=0.6, inner_ear=(206, 178, 190), eye_slant=0.3,
        body=0.78, tail=0.14,
    ),
    "Siamese": Traits(
        coat=(242, 226, 200), dark=(58, 40, 34), pale=(248, 236, 214), eyes=(70, 150, 236), nose=(40, 28, 26),
        pattern="points", head=(0.86, 0.98), wedge=0.44, ear=(1.1, 0.52), ear_spread=0.78, inner_ear=(120, 88, 82),
        eye=(0.23, 0.16), eye_slant=0.42, nose_height=0.38, body=0.7, tail=0.11,
    ),
    "Sphynx": Traits(
        coat=(236, 182, 162), dark=(190, 124, 110), pale=(246, 206, 188), eyes=(186, 206, 96), nose=(214, 130, 122),
        pattern="wrinkles", head=(0.88, 0.97), wedge=0.32, ear=(1.14, 0.56), ear_spread=0.76, ear_bulge=0.1,
        inner_ear=(240, 150, 144), eye=(0.26, 0.2), eye_slant=0.32, body=0.68, tail=0.09,
    ),
}  # fmt: skip
DOGS: tuple[Traits, ...] = (
    Traits(coat=(222, 178, 112), dark=(176, 126, 66), pale=(242, 216, 168), eyes=(74, 44, 26), body=1.15),
    Traits(coat=(128, 76, 44), dark=(84, 46, 28), pale=(168, 110, 70), eyes=(84, 52, 26), body=1.15),
    Traits(coat=(54, 50, 54), dark=(30, 28, 30), pale=(196, 128, 70), eyes=(96, 58, 28), body=1.15),
    Traits(coat=(240, 234, 224), dark=(150, 88, 46), pale=(252, 250, 246), eyes=(64, 40, 26), body=1.15),
)
CLASSES: tuple[str, ...] = (*BREEDS, "other")


def render(class_name: str, index: int, seed: int, size_px: int) -> np.ndarray:
    """Image number `index` of a class: uint8 [size_px, size_px, 3] RGB, a pure function of the arguments.

    Raises UserError for a class that is not one of CLASSES.
    """
    if class_name not in CLASSES:
        raise UserError(f"class {class_name!r}: the synthetic data has only {', '.join(CLASSES)}")
    rng = np.random.default_rng([seed, CLASSES.index(class_name), index])
    side_px = size_px * _SUPERSAMPLING
    image = _room(rng, size_px).resize((side_px, side_px), Image.Resampling.NEAREST)  # reduce() below undoes it
    unit_px = _HEAD_UNIT * side_px * rng.uniform(0.95, 1.05)
    middle_px = side_px * np.array([0.5, 0.49]) + side_px * rng.uniform(-0.02, 0.02, size=2)
    body = Brush(image, middle_px, unit_px * np.eye(2))
    # Faces look ahead, more or less: a small generator has minutes to learn where the eyes are
    pose = Pose(turn=rng.uniform(-0.5, 0.5), side=int(rng.choice([-1, 1])), gaze=rng.uniform(-1, 1))
    head = body.placed((0.16 * pose.turn, 0), angle=rng.uniform(-0.1, 0.1))
    if class_name in BREEDS:
        traits = _individual(BREEDS[class_name], rng)
        draw_tail(body, traits, pose)
        draw_body(body, traits, rng)
        draw_cat_head(head, traits, pose, rng)
    else:
        traits = _individual(DOGS[rng.integers(len(DOGS))], rng)
        draw_body(body, traits, rng)
        draw_dog_head(head, traits, pose, rng)
    return _lit(image.reduce(_SUPERSAMPLING), rng)


def synthetic_images(images_per_class: int, seed: int, size_px: int) -> Iterator[RawImage]:
    """Yield `images_per_class` PNG images of each of CLASSES, named <class>/<index>.png, without a split."""
    which = [(class_name, index) for class_name in CLASSES for index in range(images_per_class)]
    drawn = map_in_order(partial(_raw_image, seed=seed, size_px=size_px), which)
    yield from track(drawn, "drawing images", len(which))


def _raw_image(which: tuple[str, int], seed: int, size_px: int) -> RawImage:
    class_name, index = which
    content = io.BytesIO()
    Image.fromarray(render(class_name, index, seed, size_px)).save(content, format="PNG")
    return RawImage(f"{class_name}/{index:05d}.png", class_name, "", content.getvalue())


def _individual(traits: Traits, rng: np.random.Generator) -> Traits:
    """No two animals of a breed have quite the same coat or ears."""
    shade, tint = rng.uniform(-0.07, 0.07), rng.uniform(0, 0.06)

    def vary(colour: Colour) -> Colour:
        return mix(lighter(colour, shade) if shade > 0 else darker(colour, -shade), (214, 150, 90), tint)

    ear_height, ear_width = np.array(traits.ear) * rng.uniform(0.93, 1.07)
    return replace(
        traits, coat=vary(traits.coat), dark=vary(traits.dark), pale=vary(traits.pale), ear=(ear_height, ear_width)
    )


def _room(rng: np.random.Generator, size_px: int) -> Image.Image:
    """A wall that fades sideways, in half of the images over a darker floor."""
    wall = np.array(_WALLS[rng.integers(len(_WALLS))], dtype=float)
    across = np.linspace(-1, 1, 8)[None, :, None] * rng.uniform(-0.1, 0.1)
    down = np.linspace(1.08, 0.92, 8)[:, None, None]
    pixels = wall * (down + across)
    if rng.random() < 0.5:
        pixels[rng.integers(5, 7) :] *= 0.78
    small = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return small.resize((size_px, size_px), Image.Resampling.BICUBIC)


def _lit(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """Light from one side: a linear gradient of brightness with a slightly warm or cold tint."""
    pixels = np.asarray(image, dtype=np.float32)
    across = np.linspace(-1, 1, image.width, dtype=np.float32)
    down = np.linspace(-1, 1, image.height, dtype=np.float32)[:, None]
    direction = rng.uniform(-math.pi, 0)
    strength = rng.uniform(0.02, 0.12)
    gain = rng.uniform(0.92, 1.08) + strength * (math.cos(direction) * across + math.sin(direction) * down)
    warmth = rng.uniform(-0.03, 0.03)
    tint = np.array([1 + warmth, 1, 1 - warmth], dtype=np.float32)
    return np.clip(np.rint(pixels * gain[..., None] * tint), 0, 255).astype(np.uint8)
