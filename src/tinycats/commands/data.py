"""`tinycats data`: what is wrong with the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer
from typing_extensions import TypedDict  # pydantic takes that of typing from Python 3.12 on

from tinycats.commands.options import Root

if TYPE_CHECKING:
    from pydantic import TypeAdapter

SHOWN = 10  # findings of each kind, without --all
T = TypeVar("T")


Finding = TypedDict("Finding", {"finding": str, "image": str, "split": str, "class": str, "other": str, "score": float})


def data(
    root: Root = Path(),
    all_findings: Annotated[bool, typer.Option("--all", "-a", help="Every finding, not only the surest.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with every finding.")] = False,
) -> None:
    """Show what is wrong with the data: near-duplicates, labels that are likely wrong, outliers, balance and sizes.

    `dvc repro preprocess` finds it. Pictures: metrics/data/, or `dvc plots show`.

    Examples: `tinycats data`, `tinycats data --all`, `tinycats data --json`
    """
    import json

    from pydantic import JsonValue, TypeAdapter

    numbers = _read(root / "metrics/data.json", TypeAdapter(dict[str, JsonValue]))
    findings = _read(root / "metrics/findings.json", TypeAdapter(list[Finding]))
    if as_json:
        print(json.dumps({"metrics": numbers, "findings": findings}, indent=2, ensure_ascii=False))
        return
    _print(numbers, [dict(finding) for finding in findings], None if all_findings else SHOWN)


def _read(path: Path, kind: TypeAdapter[T]) -> T:
    from pydantic import ValidationError

    from tinycats.runtime.bounds import read_small
    from tinycats.runtime.errors import UserError

    try:
        return kind.validate_json(read_small(path))
    except FileNotFoundError:
        raise UserError(f"{path}: not found; `dvc repro preprocess` writes it") from None
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise UserError(f"{path}: is not intact ({reason}); `dvc repro preprocess` writes it again") from None


TITLES = {
    "near_duplicate": ("Near-duplicates", "copy of", "correlation"),
    "wrong_label": ("Labels that are likely wrong", "likely class", "odds"),
    "outlier": ("Unlike the rest of their class", "", "deviations"),
}


def _print(numbers: dict[str, Any], findings: list[dict[str, Any]], shown: int | None) -> None:
    from flatten_dict import flatten
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from tinycats.runtime.tables import fitting_table

    console = Console()
    summary = Table(show_header=False, box=None)
    for name, value in flatten(numbers, reducer="dot").items():
        summary.add_row(escape(name.replace("_", " ").replace(".", ": ")), escape(str(value)))
    console.print(summary)
    for kind, (title, other, score) in TITLES.items():
        found = [finding for finding in findings if finding["finding"] == kind]
        if not found:
            continue
        heads = ("image", "split", "class", *([other] if other else []), score)
        columns = ("image", "split", "class", *(["other"] if other else []))
        rows = [[*(finding[column] for column in columns), f"{finding['score']:g}"] for finding in found[:shown]]
        console.print()
        table = fitting_table(console, heads, rows, less_needed=("class",), title=f"{title}: {len(found)}")
        console.print(table, crop=False)
        if shown is not None and len(found) > shown:
            console.print(f"and {len(found) - shown} more: `tinycats data --all`")
