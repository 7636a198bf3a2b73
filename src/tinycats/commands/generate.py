"""`tinycats generate`: images of the classes asked for."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tinycats.commands.file_names import file_stems
from tinycats.commands.nearest import class_named, require_adapter, require_model
from tinycats.commands.options import MAX_SEED
from tinycats.runtime.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from tinycats.generator.network import TinyDiT
    from tinycats.runtime.params import SamplerSettings


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
    model: Annotated[Path, typer.Option(help="Model directory.")] = Path("models/generator"),
    adapter: Annotated[
        Path | None,
        typer.Option(help="Directory of an adapter that `tinycats adapt` made for this model.", show_default=False),
    ] = None,
) -> None:
    """Generate images as CLASS-SEED-NUMBER.png, and all of them in grid.png, a row for each class.

    An image depends only on class, seed, number and sampler settings, which are in its PNG metadata.

    **Examples**

    `tinycats generate --class Bengal --count 4 --seed 7`

    `tinycats generate --class Bengal --class Sphynx --steps 50 --guidance 3 --out cats`

    `tinycats generate --model models/student --steps 2`

    `tinycats generate --adapter adapters/mimi`
    """
    import numpy as np

    from tinycats.figures.sheets import tile
    from tinycats.generator.network import TinyDiT
    from tinycats.generator.sampler import load_sampler
    from tinycats.runtime.track import naming, track

    require_model(model)
    if adapter is None:
        network = TinyDiT.from_pretrained(model)
    else:
        from tinycats.adapters.adapter import load_adapted

        require_adapter(adapter)
        network = load_adapted(model, adapter)
    if network.config.few_step and guidance is not None:
        raise UserError(f"--guidance: {model} is a student, which has guidance baked in; leave it out")
    if guidance is not None and not math.isfinite(guidance):
        raise UserError(f"--guidance: must be a finite number, got {guidance}")
    asked = {"steps": steps, "guidance": guidance}
    usual = load_sampler(model)
    if network.config.few_step and steps is not None and steps not in (made_for := _steps_of_student(usual.steps)):
        raise UserError(f"--steps: {model} is a student, made for {' or '.join(map(str, made_for))} steps, got {steps}")
    settings = usual.model_copy(update={key: value for key, value in asked.items() if value is not None})
    sampled = {**settings.model_dump(), "few_step": network.config.few_step}
    classes = network.config.classes
    asked_for = class_names or (classes if adapter is None else classes[-1:])
    chosen = list(dict.fromkeys(class_named(name, classes, "--class") for name in asked_for))
    stems = file_stems(classes)
    images = []
    with naming("generate"):
        for name, number in track([(name, number) for name in chosen for number in range(count)], "images"):
            image = _sample_one(network, classes.index(name), seed, number, settings)
            text = {"class": name, "seed": seed, "number": number, **sampled}
            _save_png(image, out / f"{stems[name]}-{seed}-{number}.png", text)
            images.append(image)
    grid = np.asarray(tile(np.stack(images), count))
    _save_png(grid, out / "grid.png", {"rows": ", ".join(chosen), "seed": seed, **sampled})
    typer.echo(f"{len(images)} images in {out}, all of them in {out / 'grid.png'} (rows: {', '.join(chosen)})")


def _steps_of_student(most: int) -> list[int]:
    """A student learns steps of 1, 1/2, 1/4 ...: it halves none that it was not evaluated with."""
    return [2**level for level in range(most.bit_length()) if 2**level <= most]


def _sample_one(network: TinyDiT, label: int, seed: int, number: int, settings: SamplerSettings) -> np.ndarray:
    """One image, uint8 [S, S, 3]. On its own, because matrix products round differently in other batches."""
    from tinycats.generator.network import one_hot_classes
    from tinycats.generator.sampler import initial_noise, sample, to_uint8

    config = network.config
    noise = initial_noise(seed, [number], config.image_size)
    return to_uint8(sample(network, noise, one_hot_classes([label], config.num_classes), settings))[0].numpy()


def _save_png(image: np.ndarray, path: Path, text: dict[str, object]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from tinycats.runtime.files import atomic_path

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, str(value))
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG", pnginfo=info)
