"""What the pipeline answers to pictures, for the browser tests: python golden.py MODELS PROCESSED OUTPUT

OUTPUT/pictures.json: {"pictures": [{"file", "input": base64 of uint8 [S, S, 3], "fp32": probabilities, "int8": ...,
"distance": {"fp32", "int8"}}], "test": [{"file", "class", "fp32", "int8", "distance"}]}; the pictures are in the same folder.
`pictures` are of all kinds of files, the last two unlike any training image; `test` is an even selection of the test split.
OUTPUT/early.onnx: the int8 classifier without its distance.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from PIL import Image, ImageDraw

from tinycats.data.processed import load_classes, load_split
from tinycats.export.onnx_models import OnnxClassifier
from tinycats.preparing.decode import decode, to_square
from tinycats.sources.synthetic import render

SEED = 4243  # no training draws with it
MOST_TEST_PICTURES = 78
ORIENTATION = 0x0112


def transparent(image: Image.Image) -> Image.Image:
    rgba = image.convert("RGBA")
    rgba.putalpha(Image.linear_gradient("L").resize(image.size))
    return rgba


def rotated(path: Path, image: Image.Image, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif, quality=92)


def without_distance(model: onnx.ModelProto) -> onnx.ModelProto:
    """The classifier as it was published before it measured distances."""
    kept = [output for output in model.graph.output if output.name != "distance"]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model


def noise() -> Image.Image:
    return Image.fromarray(np.random.default_rng(SEED).integers(0, 256, (240, 240, 3), dtype=np.uint8))


def page_of_text() -> Image.Image:
    page = Image.new("RGB", (240, 240), "white")
    ImageDraw.Draw(page).multiline_text((8, 8), "\n".join(["The quick brown fox jumps over the dog"] * 15), "black")
    return page


def pictures(folder: Path) -> list[str]:
    def cat(name: str, size: int) -> Image.Image:
        return Image.fromarray(render(name, 3, SEED, size))

    wide = cat("Bengal", 200).resize((301, 187))
    kinds: dict[str, Callable[[Path], Any]] = {
        "plain.png": cat("Siamese", 256).save,
        "small.png": cat("Sphynx", 33).save,
        "wide.png": wide.save,
        "tall.png": wide.transpose(Image.Transpose.ROTATE_90).save,
        "photo.jpg": lambda path: cat("Bombay", 500).save(path, quality=90),
        "turned.jpg": lambda path: rotated(path, wide, 6),
        "mirrored.jpg": lambda path: rotated(path, wide, 5),
        "grey.png": cat("Persian", 190).convert("L").save,
        "grey.jpg": lambda path: cat("Persian", 190).convert("L").save(path, quality=90),
        "palette.gif": cat("Birman", 150).quantize(64).save,
        "transparent.png": transparent(cat("Ragdoll", 180)).save,
        "picture.webp": lambda path: cat("Abyssinian", 210).save(path, lossless=True),
        "noise.png": noise().save,
        "text.png": page_of_text().save,
    }
    for name, save in kinds.items():
        save(folder / name)
    return list(kinds)


def main(models: Path, processed: Path, output: Path) -> None:
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    classifiers = {
        "fp32": OnnxClassifier(models / "onnx/classifier.onnx"),
        "int8": OnnxClassifier(models / "onnx_int8/classifier.onnx"),
    }
    size = classifiers["fp32"].config.image_size

    def answers(pixels: np.ndarray) -> dict[str, Any]:
        found = {name: model.predict(pixels[None]) for name, model in classifiers.items()}
        distances = {name: float(distance[0]) for name, (_, distance) in found.items()}
        return {name: probabilities[0].tolist() for name, (probabilities, _) in found.items()} | {"distance": distances}

    shown = []
    for name in pictures(output):
        pixels = to_square(decode((output / name).read_bytes(), 1, 10**8), size, classifiers["fp32"].config.fit)
        encoded = base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()
        shown.append({"file": name, "input": encoded, **answers(pixels)})
    classes, _ = load_classes(processed)
    split = load_split(processed, "test", size)
    tested = []
    for row in range(0, len(split.labels), -(-len(split.labels) // MOST_TEST_PICTURES)):
        name = f"test-{row}.png"
        Image.fromarray(split.images[row]).save(output / name)
        tested.append({"file": name, "class": classes[split.labels[row]], **answers(np.asarray(split.images[row]))})
    onnx.save(without_distance(onnx.load(models / "onnx_int8/classifier.onnx")), output / "early.onnx")
    (output / "pictures.json").write_text(json.dumps({"pictures": shown, "test": tested}))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
