"""Cats and dogs as smooth shapes on a Pillow image: the brush, and the anatomy that traits and a pose decide.

All shapes live in head units: the origin is the middle of the head, 1 is about half its width, x points right, y down.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

Colour: TypeAlias = tuple[int, int, int]
Point: TypeAlias = tuple[float, float]

_BLACK: Colour = (22, 19, 20)
_WHITE: Colour = (250, 247, 242)
_PINK: Colour = (226, 158, 152)

_ANGLES = np.linspace(0, 2 * np.pi, 28, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_SOFT_STEPS = 5
_CATMULL_ROM = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])  # powers of t by knots


def mix(a: Colour, b: Colour, amount: float) -> Colour:
    """Return `a` at amount 0, `b` at 1, and a colour on the line between them elsewhere."""
    rest = 1 - amount
    return (
        round(a[0] * rest + b[0] * amount),
        round(a[1] * rest + b[1] * amount),
        round(a[2] * rest + b[2] * amount),
    )


def darker(colour: Colour, amount: float) -> Colour:
    return mix(colour, (0, 0, 0), amount)


def lighter(colour: Colour, amount: float) -> Colour:
    return mix(colour, (255, 255, 255), amount)


@lru_cache(maxsize=1024)  # most shapes are the same in every image
def curve(*points: Point, samples: int = 6) -> np.ndarray:
    """Open Catmull-Rom spline through `points`: float [(len - 1) * samples + 1, 2], read-only."""
    knots = np.array([points[0], *points, points[-1]], dtype=float)
    windows = np.stack([knots[:-3], knots[1:-2], knots[2:-1], knots[3:]], axis=1)  # [pieces, 4, 2]
    powers = np.linspace(0, 1, samples, endpoint=False)[:, None] ** np.arange(4)  # [samples, 4]
    line = np.concatenate([(powers @ _CATMULL_ROM @ windows).reshape(-1, 2), knots[-1:]])
    line.flags.writeable = False
    return line


def both_sides(right: np.ndarray) -> np.ndarray:
    """Close an open line [N, 2] with its mirror image in x = 0."""
    return np.concatenate([right, right[::-1] * (-1, 1)])


def ragged(outline: np.ndarray, depth: float, rng: np.random.Generator) -> np.ndarray:
    """Turn every second point of a closed outline [N, 2] into the tip of a tuft, about `depth` further out."""
    centre = outline.mean(axis=0)
    outward = outline - centre
    outward /= np.linalg.norm(outward, axis=1, keepdims=True)
    reach = depth * rng.uniform(0.6, 1.2, size=(len(outline), 1))
    reach[1::2] *= -0.4
    return outline + outward * reach


@dataclass(frozen=True)
class Brush:
    """Draws on `image` in local coordinates: pixel = origin + local @ axes, x to the right and y down."""

    image: Image.Image
    origin: np.ndarray  # [2], px
    axes: np.ndarray  # [2, 2], px for each unit

    @cached_property
    def _draw(self) -> ImageDraw.ImageDraw:
        return ImageDraw.Draw(self.image)

    def placed(self, at: Point, angle: float = 0.0) -> Brush:
        """A brush whose origin is at `at` of this one, turned clockwise by `angle` radians."""
        cos, sin = math.cos(angle), math.sin(angle)
        turn = np.array([[cos, sin], [-sin, cos]])
        return replace(self, origin=self.origin + np.array(at) @ self.axes, axes=turn @ self.axes)

    def polygon(self, points: np.ndarray, colour: Colour) -> None:
        self._draw.polygon(self._pixels(points), fill=colour)

    def blob(self, x: float, y: float, rx: float, ry: float, colour: Colour, angle: float = 0.0) -> None:
        """A filled ellipse, turned clockwise by `angle` radians."""
        cos, sin = math.cos(angle), math.sin(angle)
        self.polygon(_CIRCLE @ np.array([[rx * cos, rx * sin], [-ry * sin, ry * cos]]) + (x, y), colour)

    def soft_blob(self, x: float, y: float, rx: float, ry: float, around: Colour, colour: Colour) -> None:
        """An ellipse that fades from `colour` in its middle to `around` at its rim."""
        for step in range(_SOFT_STEPS):
            size = 1 - step / (_SOFT_STEPS + 1.5)
            self.blob(x, y, rx * size, ry * size, mix(around, colour, (step + 1) / _SOFT_STEPS))

    def stroke(self, points: np.ndarray, width: float, colour: Colour) -> None:
        pixels = max(1, round(width * math.hypot(*self.axes[0])))
        self._draw.line(self._pixels(points), fill=colour, width=pixels)

    @contextmanager
    def inside(self, outline: np.ndarray, colour: Colour) -> Iterator[Brush]:
        """Fill `outline` with `colour` and yield a brush whose paint stays within it."""
        mask = Image.new("L", self.image.size)
        ImageDraw.Draw(mask).polygon(self._pixels(outline), fill=255)
        layer = Image.new("RGB", self.image.size, colour)
        yield replace(self, image=layer)
        self.image.paste(layer, mask=mask)

    def _pixels(self, points: np.ndarray) -> list[float]:
        pixels: list[float] = (self.origin + points @ self.axes).ravel().tolist()
        return pixels


@dataclass(frozen=True)
class Traits:
    """What an animal looks like, the same for all of its breed. Lengths are in head units."""

    coat: Colour
    dark: Colour  # stripes, spots or points
    pale: Colour  # muzzle, chin and chest
    eyes: Colour
    nose: Colour = (120, 72, 66)
    pattern: Literal["plain", "ticked", "rosettes", "spots", "marbled", "points", "wrinkles"] = "plain"
    head: tuple[float, float] = (1.0, 0.93)  # half width and half height
    wedge: float = 0.15  # how much the face narrows to the chin
    ear: tuple[float, float] = (0.85, 0.42)  # height and half width
    ear_spread: float = 0.62  # radians from straight up
    ear_bulge: float = 0.06  # rounder tips the larger it is
    inner_ear: Colour = _PINK
    tufts: bool = False  # lynx tips on the ears
    eye: tuple[float, float] = (0.23, 0.19)  # half width and half height
    eye_slant: float = 0.2  # radians
    nose_height: float = 0.3  # below the middle of the head
    fluff: float = 0.0  # depth of the ragged outline
    body: float = 1.0  # half width at the foot
    tail: float = 0.17  # half thickness
    blaze: bool = False  # white inverted V on the face
    gloves: bool = False  # white paws

    @property
    def tabby(self) -> bool:
        return self.pattern in ("rosettes", "spots", "marbled")


@dataclass(frozen=True)
class Pose:
    """How one animal holds itself in one image."""

    turn: float  # -1..1: how far the face looks to the left or the right
    side: int  # -1 or 1: where the tail lies
    gaze: float  # -1..1: the pupils' place in the eyes


def draw_tail(body: Brush, traits: Traits, pose: Pose) -> None:
    """A tail that curls up along the body; ringed on a tabby."""
    colour = traits.dark if traits.pattern == "points" else darker(traits.coat, 0.12)
    path = curve((0.7, 2.0), (1.35, 1.75), (1.5, 1.2), (1.4, 0.75))
    for number, (x, y) in enumerate(path):
        band = traits.dark if traits.tabby and number % 5 >= 3 else colour
        thickness = traits.tail * (1 - 0.025 * number)
        body.blob(pose.side * x, y, thickness, thickness, band)


def draw_body(body: Brush, traits: Traits, rng: np.random.Generator) -> None:
    """Chest, shoulders and front paws of an animal that sits and faces the viewer."""
    foot, neck = traits.body, 0.5 * traits.body + 0.08
    right = curve((neck, 0.3), (neck, 0.75), (0.8 * foot, 1.25), (foot, 1.8), (foot, 2.6), samples=5)
    outline = both_sides(right)
    if traits.fluff:
        outline = ragged(outline, 0.9 * traits.fluff, rng)
    with body.inside(outline, darker(traits.coat, 0.2)) as paint:
        paint.soft_blob(0, 1.5, foot, 1.3, darker(traits.coat, 0.2), traits.coat)
        paint.soft_blob(0, 1.15, 0.5 * foot, 0.6, traits.coat, traits.pale)
        _body_pattern(paint, traits, rng)
        if traits.fluff:
            bib = both_sides(curve((-0.85, 0.6), (-0.6, 1.25), (0, 1.6)))
            paint.polygon(ragged(bib, traits.fluff, rng), traits.pale)
        for x in (-0.34, 0.34):
            paint.blob(x, 1.95, 0.3, 0.5, traits.coat)
            if traits.gloves or traits.pattern == "points":
                paw = _WHITE if traits.gloves else traits.dark
                paint.soft_blob(x, 1.95, 0.3, 0.5, mix(traits.coat, paw, 0.5), paw)
        paint.stroke(curve((0, 1.55), (0, 2.3)), 0.06, darker(traits.coat, 0.35))
        paint.soft_blob(0, 0.72, 0.7, 0.36, traits.coat, darker(traits.coat, 0.3))  # the head's shadow


def _body_pattern(paint: Brush, traits: Traits, rng: np.random.Generator) -> None:
    if traits.pattern in ("rosettes", "spots"):
        step = 0.44 if traits.pattern == "rosettes" else 0.34
        columns = round(traits.body / step) + 1
        for row in range(round(1.5 / step) + 1):
            for column in range(-columns, columns):
                across, down, angle = rng.uniform(-0.06, 0.06, size=3) * (1, 1, 8)
                x, y = (column + 0.5 * (row % 2)) * step + across, 0.65 + row * step + down
                if traits.pattern == "rosettes":
                    paint.blob(x, y, 0.19, 0.15, traits.dark, angle)
                    paint.blob(x, y, 0.09, 0.07, darker(traits.coat, 0.25), angle)
                else:
                    paint.blob(x, y, 0.11, 0.1, traits.dark, angle)
    elif traits.pattern == "ticked":
        _ticks(paint, traits, rng.uniform((-traits.body, 0.7), (traits.body, 2.1), size=(24, 2)))
    elif traits.pattern == "marbled":
        for side in (-1, 1):
            for reach in (0.55, 0.85, 1.15):
                bend = rng.uniform(-0.08, 0.08)
                path = curve((0.5 * reach, 0.8), (reach, 1.15 + bend), (0.9 * reach, 1.6), (1.2 * reach, 2.3))
                paint.stroke(path * (side, 1), 0.13, traits.dark)
    elif traits.pattern == "wrinkles":
        for y in (0.9, 1.08, 1.26):
            bend = rng.uniform(0.05, 0.2)
            paint.stroke(curve((-0.6, y - bend), (0, y + bend), (0.6, y - bend)), 0.05, traits.dark)


def _ticks(paint: Brush, traits: Traits, places: np.ndarray) -> None:
    """Short hairs, darker than the coat, at `places` [N, 2]."""
    for place in places:
        paint.stroke(np.array([place, place + np.array([0, 0.14])]), 0.05, mix(traits.coat, traits.dark, 0.4))


def draw_cat_head(head: Brush, traits: Traits, pose: Pose, rng: np.random.Generator) -> None:
    """Ears, face and all that is in it. `rng` decides the fur's tufts and ticks."""
    ear_colour = traits.dark if traits.pattern == "points" else mix(traits.coat, traits.dark, 0.15)
    for side in (-1, 1):
        _cat_ear(head, traits, side, ear_colour)
    outline = _head_outline(traits)
    if traits.fluff:
        outline = ragged(outline[::2], traits.fluff, rng)
    rim = darker(traits.coat, 0.22)
    with head.inside(outline, rim) as paint:
        paint.soft_blob(0, -0.05, 1.25 * traits.head[0], 1.2 * traits.head[1], rim, traits.coat)
        _face_pattern(paint.placed((0.12 * pose.turn, 0)), traits, rng)
    _eyes(head.placed((0.12 * pose.turn, 0)), traits, pose)
    _muzzle(head.placed((0.2 * pose.turn, 0)), traits)  # the nose stands out, so it moves further than the eyes


def _head_outline(traits: Traits) -> np.ndarray:
    width, height = traits.head
    angles = np.linspace(0, 2 * np.pi, 64, endpoint=False)
    x, y = np.sin(angles), -np.cos(angles)
    return np.stack([width * x * (1 - traits.wedge * np.clip(y + 0.1, 0, 1)), height * y], axis=1)


def _cat_ear(head: Brush, traits: Traits, side: int, colour: Colour) -> None:
    height, half_width = traits.ear
    spread = side * traits.ear_spread
    root = (0.72 * traits.head[0] * np.sin(spread), -0.72 * traits.head[1] * np.cos(spread))
    ear = head.placed(root, angle=0.75 * spread)
    bulge = traits.ear_bulge

    def flap(scale: float) -> np.ndarray:
        w, h = scale * half_width, scale * (height + 0.12)
        left = curve((-w, 0.15), (-0.62 * w - bulge, -0.45 * h), (-0.5 * bulge, -h), samples=5)
        return both_sides(left)

    ear.polygon(flap(1.0), colour)
    ear.polygon(flap(0.68), traits.inner_ear)
    if traits.fluff:
        for x in (-0.12, 0.02, 0.16):
            ear.stroke(curve((side * 0.1, 0.1), (x, -0.45 * height)), 0.05, traits.pale)
    if traits.tufts:
        ear.polygon(
            np.array([(-0.13, -0.8 * height), (0.03 * side, -1.5 * height), (0.13, -0.8 * height)]), traits.dark
        )


def _face_pattern(face: Brush, traits: Traits, rng: np.random.Generator) -> None:
    coat, dark = traits.coat, traits.dark
    if traits.pattern == "points":
        face.soft_blob(0, 0.3, 0.98 * traits.head[0], 0.95, coat, dark)
        if traits.blaze:
            face.polygon(
                curve((0, -0.75), (0.14, -0.1), (0.55, 1.0), (0, 1.2), (-0.55, 1.0), (-0.14, -0.1), (0, -0.75)), _WHITE
            )
    elif traits.tabby:
        for x in (-0.36, -0.12, 0.12, 0.36):  # the tabby's M
            face.stroke(curve((1.3 * x, -0.95), (x, -0.6), (0.8 * x, -0.36)), 0.11, dark)
        for side in (-1, 1):
            for y in (0.08, 0.36):
                face.stroke(curve((0.6, y), (0.8, y + 0.06), (1.1, y + 0.02)) * (side, 1), 0.09, dark)
    elif traits.pattern == "ticked":
        _ticks(face, traits, rng.uniform((-0.7, -0.85), (0.7, -0.35), size=(12, 2)))
        for x in (-0.16, 0.16):
            face.stroke(curve((1.3 * x, -0.9), (x, -0.5)), 0.08, mix(coat, dark, 0.6))
    elif traits.pattern == "wrinkles":
        for y in (-0.72, -0.56, -0.4):
            face.stroke(curve((-0.42, y - 0.1), (0, y + 0.04), (0.42, y - 0.1)), 0.055, dark)


def _eyes(face: Brush, traits: Traits, pose: Pose) -> None:
    width, height = traits.eye
    for side in (-1, 1):
        eye = face.placed((side * 0.42 * traits.head[0], -0.08), angle=-side * traits.eye_slant)
        if traits.tabby or traits.pattern == "ticked":
            eye.blob(0, 0, width + 0.1, height + 0.1, traits.pale)
        eye.blob(0, 0, width + 0.045, height + 0.045, mix(traits.coat, _BLACK, 0.85))
        eye.blob(0, 0, width, height, traits.eyes)
        look = 0.04 * pose.gaze
        eye.blob(look, 0, 0.085, 0.88 * height, _BLACK)
        eye.blob(look + 0.07, -0.4 * height, 0.05, 0.05, _WHITE)


def _muzzle(face: Brush, traits: Traits) -> None:
    y = traits.nose_height
    masked = traits.pattern == "points" and not traits.blaze
    fur = lighter(traits.dark, 0.12) if masked else traits.pale
    for side in (-1, 1):
        face.blob(side * 0.17, y + 0.24, 0.25, 0.2, fur)
    face.blob(0, y + 0.4, 0.17, 0.13, fur)
    face.polygon(
        curve((-0.14, y - 0.02), (0, y - 0.06), (0.14, y - 0.02), (0, y + 0.13), (-0.14, y - 0.02)), traits.nose
    )
    line = _BLACK if sum(fur) > 240 else (128, 112, 108)
    face.stroke(
        curve((-0.24, y + 0.29), (-0.1, y + 0.33), (0, y + 0.12), (0.1, y + 0.33), (0.24, y + 0.29)), 0.04, line
    )
    if traits.pattern != "wrinkles":
        whisker = (150, 144, 144) if sum(fur) < 240 else lighter(traits.pale, 0.6)
        for side in (-1, 1):
            for slope in (-0.14, 0.06, 0.24):
                face.stroke(
                    curve((0.3, y + 0.22), (0.75, y + 0.2 + 0.5 * slope), (1.2, y + 0.24 + slope)) * (side, 1),
                    0.025,
                    whisker,
                )


def draw_dog_head(head: Brush, traits: Traits, pose: Pose, rng: np.random.Generator) -> None:
    """A long muzzle, a big black nose, a tongue and ears that hang down."""
    rim = darker(traits.coat, 0.2)
    with head.inside(_head_outline(traits), rim) as paint:
        paint.soft_blob(0, -0.1, 1.15, 1.15, rim, traits.coat)
        paint.soft_blob(0.12 * pose.turn, -0.2, 0.22, 0.8, traits.coat, traits.pale)
    hang = rng.uniform(0.75, 1.05)
    for side in (-1, 1):
        flap = curve(
            (0.5, -0.85), (1.05, -0.7), (1.32, 0.0), (1.2, hang), (0.88, hang - 0.1), (0.76, 0.1), (0.5, -0.85)
        )
        head.polygon(flap * (side, 1), traits.dark)
    face = head.placed((0.12 * pose.turn, 0))
    for side in (-1, 1):
        face.blob(side * 0.38, -0.2, 0.16, 0.16, mix(traits.coat, _BLACK, 0.85))
        face.blob(side * 0.38, -0.2, 0.12, 0.13, traits.eyes)
        face.blob(side * 0.38 + 0.04, -0.25, 0.045, 0.045, _WHITE)
    snout = head.placed((0.2 * pose.turn, 0))
    snout.blob(0, 0.98, 0.17, 0.3, (226, 108, 116))
    snout.blob(0, 0.5, 0.52, 0.46, darker(traits.pale, 0.15))
    snout.soft_blob(0, 0.47, 0.5, 0.44, darker(traits.pale, 0.1), traits.pale)
    snout.blob(0, 0.26, 0.25, 0.17, _BLACK)
    snout.stroke(curve((-0.34, 0.68), (-0.14, 0.76), (0, 0.56), (0.14, 0.76), (0.34, 0.68)), 0.06, _BLACK)
