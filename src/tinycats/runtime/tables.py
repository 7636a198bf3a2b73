"""Tables for a terminal, which leave out what there is no room for instead of breaking every cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table


def fitting_table(
    console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]], less_needed: Sequence[str], title: str = ""
) -> Table:
    """As many of the columns as a terminal has room for: those that are less needed go first, in this order.

    What is not a terminal gets all columns. Names that are still too long are broken over lines.
    """
    rows, left = list(rows), [*heads]
    for dropped in (None, *less_needed):
        if dropped in left:
            left.remove(dropped)
        table = Table(title=escape(title) or None, title_justify="left", box=None)
        for head in left:
            table.add_column(head, overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for head, cell in zip(heads, row, strict=True) if head in left))
        needed = console.measure(table, options=console.options.update(width=10_000)).maximum
        if not console.is_terminal:
            table.width = needed
        if needed <= console.width or not console.is_terminal:
            break
    return table
