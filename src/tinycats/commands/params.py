"""`tinycats params`: params.yaml from conf/, as DVC composes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tinycats.runtime.errors import UserError

SHOWN = 3  # differing keys named by --check
MISSING = '"???"'  # how OmegaConf writes a value that must be given


def params(
    overrides: Annotated[
        list[str] | None, typer.Argument(help="Hydra overrides, as in `dvc exp run -S`.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Only compare; exit code 1 where it differs.")] = False,
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
        typer.echo(f"{path} is composed")
        return
    there = path.read_text(encoding="utf-8")
    if there != text:
        raise UserError(
            f"{path}: differs from conf/: {_difference(yaml.safe_load(there), composed)}; run `tinycats params`"
        )
    typer.echo(f"{path} is what conf/ composes")


def compose(root: Path, overrides: list[str]) -> str:
    """The text of params.yaml. Raises UserError where conf/ does not compose with these overrides."""
    import yaml
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from tinycats.runtime.files import scratch_directory

    with scratch_directory() as scratch:
        output = scratch / "params.yaml"
        try:
            compose_and_dump(output, str(root / "conf"), None, "config", str(root), overrides)
        except (HydraException, OmegaConfBaseException) as error:
            raise UserError(f"conf: does not compose: {' '.join(str(error).split())}") from None
        text = output.read_text(encoding="utf-8")
    missing = [key for key, value in _flatten(yaml.safe_load(text)).items() if value == MISSING]
    if missing:
        raise UserError(f"conf: {missing[0]} has no default; give it as {missing[0]}=VALUE")
    return text


def _repository_root(start: Path) -> Path:
    for directory in (start, *start.parents):
        if (directory / "conf/config.yaml").is_file():
            return directory
    raise UserError(f"{start}: no conf/config.yaml here or above; run this inside the repository")


def _difference(there: Any, composed: Any) -> str:
    """Which keys differ, and how, in a few words."""
    old, new = _flatten(there), _flatten(composed)
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    if not keys:
        return "in order or format"
    shown = [f"{key} is {old.get(key, 'missing')}, conf/ has {new.get(key, 'no such key')}" for key in keys[:SHOWN]]
    return "; ".join(shown) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")


def _flatten(content: Any, prefix: str = "") -> dict[str, str]:
    """Dotted keys and their values as JSON, which tells null and a missing key, 1 and 1.0 apart."""
    if not isinstance(content, dict):
        return {prefix.removesuffix("."): json.dumps(content)}
    return {key: value for name, item in content.items() for key, value in _flatten(item, f"{prefix}{name}.").items()}
