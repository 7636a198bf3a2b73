"""`tinycats params`: params.yaml from conf/, as DVC composes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tinycats.runtime.errors import UserError
from tinycats.runtime.words import some

MISSING = "???"  # OmegaConf's word for a value that must be given


def params(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides, as in `dvc exp run -S`.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 if it differs.")] = False,
) -> None:
    """Compose params.yaml from conf/, exactly as `dvc exp run` does, and check every value.

    **Examples**

    `tinycats params`

    `tinycats params --check`

    `tinycats params data=oxford_pets dit=small train.steps=400000`
    """
    import yaml

    from tinycats.runtime.files import atomic_path
    from tinycats.runtime.params import parse_params

    root = _repository_root(Path.cwd())
    text = compose(root, overrides or [])
    composed = yaml.safe_load(text)
    parse_params(composed, "conf")
    path = root / "params.yaml"
    if not check:
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
        typer.echo(f"{path}: written")
        return
    found = path.read_text(encoding="utf-8")
    if found != text:
        raise UserError(f"{path}: differs from conf/: {_difference(found, composed)}; run `tinycats params`")
    typer.echo(f"{path}: is what conf/ composes to")


def compose(root: Path, overrides: list[str]) -> str:
    """The text of params.yaml. Raises UserError if conf/ does not compose with these overrides."""
    import yaml
    from dvc.utils.hydra import compose_and_dump
    from flatten_dict import flatten
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from tinycats.runtime.files import scratch_directory

    with scratch_directory() as scratch:
        output = scratch / "params.yaml"
        try:
            compose_and_dump(output, str(root / "conf"), None, "config", str(root), overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"conf: cannot be composed: {' '.join(str(error).split())}") from None
        text = output.read_text(encoding="utf-8")
    missing = [key for key, value in flatten(yaml.safe_load(text), reducer="dot").items() if value == MISSING]
    if missing:
        raise UserError(f"conf: {missing[0]} has no default; give it as {missing[0]}=VALUE")
    return text


def _repository_root(start: Path) -> Path:
    for directory in (start, *start.parents):
        if (directory / "conf/config.yaml").is_file():
            return directory
    raise UserError(f"{start}: no conf/config.yaml here or above; run this inside the repository")


def _difference(text: str, composed: dict[str, Any]) -> str:
    """Which keys of params.yaml, which has this text, differ from the composed ones, and how."""
    import yaml

    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return "it is not YAML"
    old, new = (_as_json(section) for section in (content if isinstance(content, dict) else {}, composed))
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    return (
        some(
            [f"{key} is {old.get(key, 'missing')}, conf/ has {new.get(key, 'no such key')}" for key in keys],
            separator="; ",
        )
        or "in order or format"
    )


def _as_json(content: dict[str, Any]) -> dict[str, str]:
    """Dotted keys and their values as JSON, which tells null from a missing key and 1 from 1.0."""
    from flatten_dict import flatten

    return {key: json.dumps(value) for key, value in flatten(content, reducer="dot").items()}
