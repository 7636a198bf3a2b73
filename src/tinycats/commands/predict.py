"""`tinycats predict`: which class do images show?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tinycats.commands.options import model_or_usual
from tinycats.runtime.errors import UserError

if TYPE_CHECKING:
    from tinycats.api.classifier import Classifier, Prediction


def predict(
    images: Annotated[
        list[Path],
        typer.Argument(help="Image files of any size and common format, or folders of them.", show_default=False),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    top: Annotated[int, typer.Option(min=1, help="How many classes to show.")] = 5,
    onnx: Annotated[bool, typer.Option("--onnx", help="Run models/onnx/classifier.onnx with ONNX Runtime.")] = False,
    model: Annotated[
        Path | None,
        typer.Option(help="Model directory or .onnx file.  [default: models/classifier]", show_default=False),
    ] = None,
) -> None:
    """Say which class images show, "not sure", or "unlike the training images".

    Not sure: the confidence is below the classifier's threshold. Unlike: the image is further from the training images than
    those are from each other, so that its classes mean little.

    Where no classifier was trained yet, the one in pretrained/ answers.

    If some cannot be read, only a line for each of them is printed, and the exit code is 1.

    **Examples**

    `tinycats predict cat.jpg`

    `tinycats predict photos --json --top 3`

    `tinycats predict cat.jpg --onnx --model publish/onnx_int8/classifier.onnx`
    """
    from tinycats.api.classifier import Classifier
    from tinycats.api.images import image_files

    path = model_or_usual(model, "classifier", onnx)
    if onnx and path.suffix != ".onnx":
        raise UserError(f"--onnx: {path} is not an .onnx file")
    classifier = Classifier.from_pretrained(path)
    files = [file for named in images for file in (image_files(named) if named.is_dir() else [named])]
    found = _answers(classifier, files, top)
    if as_json:
        results = [_result(file, prediction) for file, prediction in zip(files, found, strict=True)]
        typer.echo(json.dumps(results, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        _print_table(files, found)


def _answers(classifier: Classifier, files: list[Path], top: int) -> list[Prediction]:
    from tinycats.api.images import load_image
    from tinycats.runtime.track import track

    squares, problems = [], []
    for file in track(files, "predict: reading photos"):
        try:
            squares.append(classifier.square(load_image(file)))
        except UserError as error:
            problems.append(str(error))
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    return classifier.predict(squares, top)


def _result(file: Path, prediction: Prediction) -> dict[str, Any]:
    ranked = [{"class": name, "probability": round(probability, 6)} for name, probability in prediction.top]
    return {
        "file": str(file),
        **ranked[0],
        "sure": prediction.sure,
        "unlike": prediction.unlike,
        "distance": round(prediction.distance, 4),
        "top": ranked,
    }


def _print_table(files: list[Path], found: list[Prediction]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    table.add_column("file", overflow="fold")
    for head in ("class", "probability", "next"):
        table.add_column(head)
    for file, prediction in zip(files, found, strict=True):
        # A probability beside "unlike the training images" would read as that of being unlike
        probability = "" if prediction.unlike else f"{prediction.probability:.1%}"
        rest = ", ".join(f"{name} {share:.1%}" for name, share in prediction.top[0 if prediction.unlike else 1 :])
        table.add_row(escape(str(file)), escape(prediction.answer), probability, escape(rest))
    Console().print(table)
