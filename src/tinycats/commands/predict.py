"""`tinycats predict`: which class do images show?"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinycats.commands.nearest import not_found, require_model
from tinycats.releasing.pretrained import PRETRAINED, released_classifier
from tinycats.runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from tinycats.classifier.network import ClassifierConfig
    from tinycats.runtime.params import Fit

MODEL = Path("models/classifier")
ONNX_MODEL = Path("models/onnx/classifier.onnx")
BATCH_SIZE = 32


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="Image files of any size and common format.", show_default=False)
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    onnx: Annotated[bool, typer.Option("--onnx", help=f"Run {ONNX_MODEL} with ONNX Runtime.")] = False,
    model: Annotated[
        Path | None, typer.Option(help=f"Model directory or .onnx file.  [default: {MODEL}]", show_default=False)
    ] = None,
) -> None:
    """Say which class images show, "not sure", or "unlike the training images".

    Not sure: the confidence is below the classifier's threshold. Unlike: the image is further from the training images than
    those are from each other, so that its classes mean little.

    Where no classifier was trained yet, the one in pretrained/ answers.

    If some cannot be read, only a line for each of them is printed, and the exit code is 1.

    **Examples**

    `tinycats predict cat.jpg`

    `tinycats predict photos/*.jpg --json --top 3`

    `tinycats predict cat.jpg --onnx --model publish/onnx_int8/classifier.onnx`
    """
    from tinycats.runtime.track import track

    path = model or _usual_model(ONNX_MODEL if onnx else MODEL)
    config, run = _load(path, onnx)
    pixels = _read_all(images, config.image_size, config.fit)
    results = []
    for start in track(range(0, len(images), BATCH_SIZE), "predict: classifying photos, batches"):
        files = images[start : start + BATCH_SIZE]
        for file, probabilities, distance in zip(files, *run(pixels[start : start + BATCH_SIZE]), strict=True):
            results.append(_result(file, probabilities, float(distance), config, top))
    if as_json:
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False))
    else:
        _print_table(results)


def _usual_model(path: Path) -> Path:
    """`path`, or the classifier in pretrained/ where nothing was trained here yet."""
    if path.exists() or not PRETRAINED.exists():
        return path
    released = released_classifier(PRETRAINED)
    typer.echo(f"{path}: not found; uses {released} (`make repro` trains another)", err=True)
    return released


def _load(path: Path, onnx: bool) -> tuple[ClassifierConfig, Callable[[np.ndarray], Sequence[np.ndarray]]]:
    """The config, and a function from uint8 [N, S, S, 3] to probabilities [N, K] and distances [N]."""
    require_model(path)
    if path.suffix == ".onnx":
        from tinycats.export.onnx_models import OnnxClassifier

        session = OnnxClassifier(path)
        return session.config, session.predict
    if onnx:
        raise UserError(f"--onnx: {path} is not an .onnx file")

    import torch

    from tinycats.classifier.network import Classifier

    network = Classifier.from_pretrained(path)
    return network.config, lambda x: [output.numpy() for output in network.predict(torch.from_numpy(x))]


def _read_all(files: list[Path], image_size: int, fit: Fit) -> np.ndarray:
    """The images as uint8 [N, image_size, image_size, 3], prepared as for training."""
    import numpy as np

    from tinycats.preparing.decode import BadImageError, decode, to_square
    from tinycats.runtime.track import track

    images: list[np.ndarray] = []
    problems = []
    for file in track(files, "predict: reading photos"):
        try:
            images.append(to_square(decode(file.read_bytes()), image_size, fit))
        except FileNotFoundError:
            problems.append(f"{file}: {not_found(file)}")
        except OSError as error:
            problems.append(f"{file}: {error.strerror or error}")
        except BadImageError as error:
            problems.append(f"{file}: is not a readable image ({error.explained})")
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    return np.stack(images)


def _result(
    file: Path, probabilities: np.ndarray, distance: float, config: ClassifierConfig, top: int
) -> dict[str, Any]:
    """`sure` and `unlike` are None if the classifier has no threshold or no limit."""
    best = (-probabilities).argsort(kind="stable")[:top]
    ranked = [{"class": config.classes[label], "probability": round(float(probabilities[label]), 6)} for label in best]
    threshold, limit = config.reject_threshold, config.distance_limit
    unlike = None if limit is None else distance > limit
    sure = None if threshold is None else not unlike and bool(probabilities[best[0]] >= threshold)
    return {
        "file": str(file),
        **ranked[0],
        "sure": sure,
        "unlike": unlike,
        "distance": round(distance, 4),
        "top": ranked,
    }


def _print_table(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table("file", "class", "probability", "next", box=None, header_style="bold")
    for result in results:
        rest = ", ".join(f"{item['class']} {item['probability']:.1%}" for item in result["top"][1:])
        if result["unlike"]:
            name = "unlike the training images"
        else:
            name = f"not sure ({result['class']}?)" if result["sure"] is False else result["class"]
        table.add_row(escape(result["file"]), escape(name), f"{result['probability']:.1%}", escape(rest))
    Console().print(table)
