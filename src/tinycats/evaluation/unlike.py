"""Does the classifier notice images that show nothing of what it was trained on?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from sklearn.metrics import roc_auc_score

from tinycats.evaluation.intervals import share
from tinycats.figures.fonts import FONT_PATH

PER_KIND = 50
ALPHABET = list("abcdefghijklmnopqrstuvwxyz     ")


def unlike_images(size: int, seed: int) -> dict[str, np.ndarray]:
    """By kind, uint8 [PER_KIND, size, size, 3]: noise, blocks of noise, gradients, pages of text, plots."""
    kinds: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
        "noise": lambda side, rng: rng.integers(0, 256, (side, side, 3), dtype=np.uint8),
        "blocks": _blocks,
        "gradients": _gradient,
        "text": _text,
        "plots": _plot,
    }
    rngs = {name: np.random.default_rng([seed, number]) for number, name in enumerate(kinds)}
    return {name: np.stack([draw(size, rngs[name]) for _ in range(PER_KIND)]) for name, draw in kinds.items()}


def unlike_metrics(test: np.ndarray, others: Mapping[str, np.ndarray], limit: float | None) -> dict[str, Any]:
    """From distances [N] of the test images and of those of each other kind.

    auroc, over all kinds and of each: how often another image is further away than a test image. With a limit also unlike_test,
    the share of test images beyond it, and told, that of the others, over all and of each kind; with intervals.
    """
    everything = np.concatenate(list(others.values()))
    figures: dict[str, Any] = {"auroc": _auroc(test, everything), "n_unlike": len(everything)}
    if limit is not None:
        figures |= share("unlike_test", test > limit) | share("told", everything > limit)
    for kind, distances in others.items():
        figures[kind] = {"auroc": _auroc(test, distances)}
        if limit is not None:
            figures[kind] |= share("told", distances > limit)
    return figures


def _auroc(test: np.ndarray, others: np.ndarray) -> float:
    is_other = np.repeat([0, 1], [len(test), len(others)])
    return float(roc_auc_score(is_other, np.concatenate([test, others])))


def _blocks(size: int, rng: np.random.Generator) -> np.ndarray:
    few = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(few).resize((size, size), Image.Resampling.NEAREST))


def _gradient(size: int, rng: np.random.Generator) -> np.ndarray:
    first, last = rng.integers(0, 256, (2, 3))
    angle, along = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, size)
    ramp = np.cos(angle) * along[:, None] + np.sin(angle) * along
    ramp = (ramp - ramp.min()) / np.ptp(ramp)
    return (first + (last - first) * ramp[..., None]).astype(np.uint8)


def _text(size: int, rng: np.random.Generator) -> np.ndarray:
    page = Image.new("RGB", (size, size), "white")
    draw, height = ImageDraw.Draw(page), max(size // 16, 6)
    font = ImageFont.truetype(FONT_PATH, height)
    for top in range(height, size - height, round(1.3 * height)):
        draw.text((height, top), "".join(rng.choice(ALPHABET, 60)), fill="black", font=font)
    return np.asarray(page)


def _plot(size: int, rng: np.random.Generator) -> np.ndarray:
    """Axes with a curve or bars, drawn large and made smaller, as in a screenshot."""
    side, margin = 256, 32
    page = Image.new("RGB", (side, side), "white")
    draw = ImageDraw.Draw(page)
    draw.line([(margin, margin), (margin, side - margin), (side - margin, side - margin)], fill="black", width=2)
    colour = tuple(int(value) for value in rng.integers(0, 200, 3))
    x = np.linspace(margin, side - margin, 24)
    if rng.random() < 0.5:
        heights = np.clip(side / 2 + 20 * rng.normal(size=24).cumsum(), margin, side - margin)
        draw.line(list(zip(x.tolist(), heights.tolist(), strict=True)), fill=colour, width=3)
    else:
        for left, top in zip(x[1:-1:3].tolist(), rng.uniform(margin, side - margin, 8).tolist(), strict=False):
            draw.rectangle([left, top, left + 14, side - margin], fill=colour)
    return np.asarray(page.resize((size, size), Image.Resampling.BILINEAR))
