"""`tinycats generate`: pictures of the classes asked for."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from tinycats.commands.nearest import require_model, unknown_class
from tinycats.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from tinycats.models.sampler import SamplerSettings
    from tinycats.models.tinydit import TinyDiT

# The sampler of conf/config.yaml, which is what the published metrics were measured with.
METHOD: Literal["euler"] = "euler"
STEPS = 20
GUIDANCE = 2.0
GUIDANCE_LOW = 0.1
GUIDANCE_HIGH = 0.9
FAST_STEPS = 4


def generate(
    class_names: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            help="A class; may be given several times.  [default: all, or the adapter's own]",
            show_default=False,
        ),
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Pictures of each class.")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same pictures.")] = 0,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Steps of the sampler.  [default: {STEPS}; {FAST_STEPS} of a student]", show_default=False
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            min=0,
            help=f"Strength of the class; 1 is none. Not for a student.  [default: {GUIDANCE}]",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for the PNG files.")] = Path("generated"),
    model: Annotated[Path, typer.Option(help="Model directory.")] = Path("models/generator"),
    adapter: Annotated[
        Path | None, typer.Option(help="Directory that `tinycats adapt` made for this model.", show_default=False)
    ] = None,
) -> None:
    """Generate pictures as CLASS-SEED-NUMBER.png, and all of them as grid.png, a row for each class.

    Each picture depends on class, seed, number and sampler settings alone, all of which its PNG metadata holds.

    **Examples**

    `tinycats generate --class Bengal --count 4 --seed 7`

    `tinycats generate --class Bengal --class Sphynx --steps 50 --guidance 3 --out cats`

    `tinycats generate --model models/generator_fast --steps 2`

    `tinycats generate --adapter adapters/mimi`
    """
    import numpy as np

    from tinycats.models.sampler import SamplerSettings, few_step_settings
    from tinycats.models.tinydit import TinyDiT

    require_model(model)
    if adapter is None:
        network = TinyDiT.from_pretrained(model)
    else:
        from tinycats.models.adapter import load_adapted

        require_model(adapter)
        network = load_adapted(model, adapter)
    if network.config.few_step:
        if guidance is not None:
            raise UserError(f"--guidance: {model} is a few-step student, whose guidance is baked in; leave it out")
        settings = few_step_settings(steps or FAST_STEPS)
    else:
        settings = SamplerSettings(
            METHOD, steps or STEPS, GUIDANCE if guidance is None else guidance, GUIDANCE_LOW, GUIDANCE_HIGH
        )
    classes = network.config.classes
    chosen = list(dict.fromkeys(class_names or (classes if adapter is None else classes[-1:])))
    for name in chosen:
        if name not in classes:
            raise UserError(f"--class: {unknown_class(name, classes)}")
    pictures = []
    with typer.progressbar(
        length=len(chosen) * count, label="generating", file=sys.stderr, hidden=not sys.stderr.isatty()
    ) as bar:
        for name in chosen:
            for number in range(count):
                picture = _sample_one(network, classes.index(name), seed, number, settings)
                text = {"class": name, "seed": seed, "number": number, **asdict(settings)}
                _save_png(picture, out / f"{slug(name)}-{seed}-{number}.png", text)
                pictures.append(picture)
                bar.update(1)
    size = network.config.image_size
    rows = np.stack(pictures).reshape(len(chosen), count, size, size, 3)
    grid = rows.transpose(0, 2, 1, 3, 4).reshape(len(chosen) * size, count * size, 3)
    _save_png(grid, out / "grid.png", {"rows": ", ".join(chosen), "seed": seed, **asdict(settings)})
    typer.echo(f"{len(pictures)} pictures in {out}, all of them on {out / 'grid.png'} (rows: {', '.join(chosen)})")


def _sample_one(network: TinyDiT, label: int, seed: int, number: int, settings: SamplerSettings) -> np.ndarray:
    """One picture, uint8 [S, S, 3]. On its own, because products of matrices round differently in other batches."""
    from tinycats.models.sampler import initial_noise, sample, to_uint8
    from tinycats.models.tinydit import one_hot_classes

    config = network.config
    noise = initial_noise(seed, [number], config.image_size)
    return to_uint8(sample(network, noise, one_hot_classes([label], config.num_classes), settings))[0].numpy()


def _save_png(picture: np.ndarray, path: Path, text: dict[str, object]) -> None:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    from tinycats.files import atomic_path

    info = PngInfo()
    for key, value in text.items():
        info.add_itxt(key, str(value))
    with atomic_path(path) as temporary:
        Image.fromarray(picture).save(temporary, format="PNG", pnginfo=info)


def slug(name: str) -> str:
    """A class name as part of a file name: the model may come from anywhere."""
    return re.sub(r"[^\w-]+", "_", name)
