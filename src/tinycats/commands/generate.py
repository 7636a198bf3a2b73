"""`tinycats generate`: images of the classes asked for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinycats.api.nearest import class_named
from tinycats.commands.file_names import file_stems
from tinycats.commands.options import model_or_usual
from tinycats.runtime.bounds import MAX_SEED
from tinycats.runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np


def generate(
    class_names: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="A class; can be given several times.  [default: all, or the adapter's own]",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="Images of each class.")] = 4,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same images.")] = 0,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=1000, help="Steps of the sampler.  [default: as evaluated]", show_default=False),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Strength of the guidance; 1 is none. Not for the student.  [default: as evaluated]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the PNG files.")] = Path("generated"),
    student: Annotated[
        bool, typer.Option("--student", help="The generator's student: sharper, in 4, 2 or 1 steps.")
    ] = False,
    model: Annotated[
        Path | None,
        typer.Option(
            help="Model directory, .onnx file or published folder.  [default: models/generator or models/student]",
            show_default=False,
        ),
    ] = None,
    adapter: Annotated[
        Path | None,
        typer.Option(help="Directory of an adapter that `tinycats adapt` made for this model.", show_default=False),
    ] = None,
) -> None:
    """Generate images as CLASS-SEED-NUMBER.png, and all of them in grid.png, a row for each class.

    Where no generator was trained yet, the one in pretrained/ makes them.

    An image depends only on class, seed, number and sampler settings, which are in its PNG metadata.

    **Examples**

    `tinycats generate --class Bengal --count 4 --seed 7`

    `tinycats generate --class Bengal --class Sphynx --steps 50 --guidance 3 --out cats`

    `tinycats generate --student --steps 2`

    `tinycats generate --adapter adapters/mimi`
    """
    import numpy as np

    from tinycats.api.generator import Generator
    from tinycats.figures.sheets import tile
    from tinycats.runtime.track import naming, track

    if out.exists() and not out.is_dir():
        raise UserError(f"--out: {out} is a file; name a folder")
    source = model_or_usual(model, "student" if student else "generator")
    generator = Generator.from_pretrained(source, student=student, adapter=adapter)
    if student and not generator.few_step:
        raise UserError(f"--student: {source} is not a student; leave out --student or --model")
    try:
        settings = generator.sampler(steps, guidance)
    except UserError as error:
        raise UserError(f"--{error}") from None
    sampled = {**settings.model_dump(), "few_step": generator.few_step}
    classes = generator.classes
    asked_for = class_names or generator.usual_classes
    chosen = list(dict.fromkeys(class_named(name, classes, "--class") for name in asked_for))
    stems = file_stems(classes)
    images = []
    with naming("generate"):
        for name, number in track([(name, number) for name in chosen for number in range(count)], "images"):
            image = generator.generate_one(name, seed=seed, number=number, steps=steps, guidance=guidance)
            text = {"class": name, "seed": seed, "number": number, **sampled}
            _save_png(image, out / f"{stems[name]}-{seed}-{number}.png", text)
            images.append(image)
    grid = np.asarray(tile(np.stack(images), count))
    _save_png(grid, out / "grid.png", {"rows": ", ".join(chosen), "seed": seed, **sampled})
    typer.echo(f"{len(images)} images in {out}, all of them in {out / 'grid.png'} (rows: {', '.join(chosen)})")


def _save_png(image: np.ndarray, path: Path, text: dict[str, object]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from tinycats.runtime.files import atomic_path

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, str(value))
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=info)
