"""`tinycats adapt` and `tinycats merge`: the generator learns one more animal from a few photos."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from tinycats.adapters.defaults import MAX_PHOTOS, MIN_PHOTOS, RANK, STEPS
from tinycats.api.nearest import class_named, require_adapter, require_model
from tinycats.commands.file_names import slug
from tinycats.data.raw import has_text_only
from tinycats.runtime.bounds import MAX_SEED
from tinycats.runtime.errors import UserError
from tinycats.sources.names import tidy_name

BASE = Path("models/generator")
RUNS = Path(".tinycats/runs")


def adapt(
    photos: Annotated[
        Path, typer.Argument(help=f"A folder of {MIN_PHOTOS} to {MAX_PHOTOS} photos of one animal.", show_default=False)
    ],
    name: Annotated[str, typer.Option(help="The animal's name, which becomes a new class.", show_default=False)],
    breed: Annotated[
        str | None,
        typer.Option(help="The class to start from.  [default: the one most like the photos]", show_default=False),
    ] = None,
    base: Annotated[Path, typer.Option(help="Directory of the generator.")] = BASE,
    out: Annotated[
        Path | None, typer.Option(help="Directory for the adapter.  [default: adapters/NAME]", show_default=False)
    ] = None,
    steps: Annotated[int, typer.Option(min=1, max=1_000_000, help="Training steps, of 16 images each.")] = STEPS,
    rank: Annotated[int, typer.Option(min=1, help="Rank of the change to each matrix.")] = RANK,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="The same seed gives the same adapter.")] = 0,
) -> None:
    """Train a LoRA adapter of the generator on photos of one animal. If it is interrupted, the same command resumes it.

    **Examples**

    `tinycats adapt photos_of_mimi --name Mimi`

    `tinycats adapt photos_of_mimi --name Mimi --breed Bengal --steps 800 --out adapters/mimi`
    """
    started = time.monotonic()
    require_model(base, "--base")
    name = tidy_name(name)
    output = out or Path("adapters", adapter_name(name))
    from tinycats.adapters.photos import read_photos
    from tinycats.adapters.training import adapter_training, train_adapter
    from tinycats.generator.network import TinyDiTConfig
    from tinycats.learning.pretrained import read_config
    from tinycats.runtime.run_settings import RunSettings

    _check_output(output, name)
    config = read_config(base, TinyDiTConfig)
    if name in config.classes:
        raise UserError(f"--name: {name!r} is already a class of {base}; choose another name")
    if breed is not None:
        breed = class_named(breed, config.classes, "--breed")
    if rank > config.width:
        raise UserError(f"--rank: at most {config.width}, the width of {base}, got {rank}")
    found = read_photos(photos, config.image_size, config.fit, config.view)
    if found.left_out:
        typer.echo(f"left out: {', '.join(found.left_out)}", err=True)
    if len(found.images) > MAX_PHOTOS:
        typer.echo(
            f"{photos}: {len(found.images)} photos are more than the {MAX_PHOTOS} that an adapter is meant for; "
            "if you have many more, train the generator with them as another class",
            err=True,
        )
    result = train_adapter(
        images=found.images, base=base, output=output, name=name, like=breed, training=adapter_training(steps), rank=rank,
        seed=seed, run=RunSettings(RUNS),
    )  # fmt: skip
    typer.echo(
        f"{output}: {name}, from {len(found.images)} photos, starting as {result.like}; error of the predicted photos "
        f"{result.error_before:.4f} -> {result.error_after:.4f}; {time.monotonic() - started:.0f} s"
    )


def merge(
    adapter: Annotated[Path, typer.Argument(help="Directory of the adapter.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Directory for the full model; it must not exist.", show_default=False)],
    base: Annotated[Path, typer.Option(help="Directory of the generator that the adapter was made for.")] = BASE,
) -> None:
    """Merge an adapter into its base: a full generator with one more class, in a model directory like any other.

    **Examples**

    `tinycats merge adapters/mimi --out models/generator_mimi`
    """
    require_model(base, "--base")
    require_adapter(adapter)
    from tinycats.adapters.adapter import load_adapted
    from tinycats.generator.sampler import SUFFIX, load_sampler, save_sampler

    for path in (out, out.with_name(out.name + SUFFIX)):
        if path.exists():
            raise UserError(f"{path}: already exists; choose another --out")

    model, settings = load_adapted(base, adapter), load_sampler(base)
    model.save_pretrained(out)
    save_sampler(settings, out)
    typer.echo(f"{out}: {base} with {model.config.classes[-1]}, {model.config.num_classes} classes")


def _check_output(output: Path, name: str) -> None:
    """Raise UserError unless nothing is lost where the adapter of this animal goes: two names may give one directory."""
    from tinycats.adapters.adapter import ADAPTER_CONFIG_NAME, read_adapter_config

    if not output.exists():
        return
    if not (output / ADAPTER_CONFIG_NAME).exists():
        raise UserError(f"{output}: exists and is not an adapter; choose another --out")
    if (held := read_adapter_config(output).auto_mapping.name) != name:
        raise UserError(f"{output}: holds the adapter of {held!r}; name another --out")


def adapter_name(name: str) -> str:
    """The directory's name for an animal. Raises UserError if nothing would be left of the name."""
    found = slug(name).strip("_").lower()
    if not found or not has_text_only(name):
        raise UserError(f"--name: must have letters or digits, and no control characters, got {name!r}")
    return found
