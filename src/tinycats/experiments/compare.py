"""What a revision does better or worse than another, as Markdown: the figures of which it is known what is better."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tinycats.experiments.better import better
from tinycats.experiments.report import metrics_of
from tinycats.experiments.revisions import Revision

CLOCK = "timing"  # readings of the clock differ from run to run
FOLDED = re.compile(r"few_steps\.|_share$")  # sampled otherwise than it is used; the same distance on another scale


@dataclass(frozen=True)
class Figure:
    """With its interval of 95%, where it has one."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.4g}"
        return f"{self.value:.4g} ({self.low:.4g} to {self.high:.4g})"


@dataclass(frozen=True)
class Change:
    """`overlap`: whether the intervals do; None where a figure has none."""

    name: str
    before: Figure
    after: Figure
    is_better: bool

    @property
    def overlap(self) -> bool | None:
        one, other = self.before, self.after
        if one.low is None or one.high is None or other.low is None or other.high is None:
            return None
        return one.low <= other.high and other.low <= one.high


def changes(before: Revision, after: Revision) -> list[Change]:
    """The figures that differ: first those whose intervals are apart, then those whose overlap, then those without any.

    Within each kind what is worse comes first, then the largest relative change.
    """
    old, new = metrics_of(before), metrics_of(after)
    found = []
    for group in sorted(old.keys() & new.keys()):
        if group.split("/")[0] == CLOCK:
            continue
        for key in sorted(old[group].keys() & new[group].keys()):
            direction = better(key)
            if direction is None or key.endswith(("_low", "_high")):
                continue
            one, other = _figure(old[group], key), _figure(new[group], key)
            if one is None or other is None or one.value == other.value:
                continue
            is_better = (other.value > one.value) == (direction == "higher")
            found.append(Change(f"{group}: {key}", one, other, is_better))
    return sorted(found, key=lambda change: (_rank(change), change.is_better, -_relative(change)))


def markdown(before: Revision, after: Revision) -> str:
    """A line that counts, and a table of the changes, the longer part of it folded away."""
    if not metrics_of(before):
        return "There are no figures to compare with."
    found = changes(before, after)
    if not found:
        return "No figure got better or worse."
    first = [change for change in found if change.overlap is not None and not FOLDED.search(change.name)]
    rest = [change for change in found if change not in first]
    text = f"**{_counted(found)}**"
    if first:
        text += f"\n\n{_table(first)}"
    if rest:
        text += f"\n\n<details><summary>{len(rest)} more that differ</summary>\n\n{_table(rest)}\n\n</details>"
    return text + "\n\nIntervals are of 95% and speak of chance among images alone: another seed may differ by more."


def _figure(figures: dict[str, object], key: str) -> Figure | None:
    value, low, high = (figures.get(f"{key}{end}") for end in ("", "_low", "_high"))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    ends = [end if isinstance(end, int | float) else None for end in (low, high)]
    return Figure(value, *ends)


def _rank(change: Change) -> int:
    return {False: 0, True: 1, None: 2}[change.overlap]


def _relative(change: Change) -> float:
    scale = max(abs(change.before.value), abs(change.after.value))
    return abs(change.after.value - change.before.value) / scale


def _counted(found: Sequence[Change]) -> str:
    parts = []
    for rank, kind in enumerate(("intervals apart", "intervals overlap", "no interval")):
        of_kind = [change for change in found if _rank(change) == rank]
        better_ones = sum(change.is_better for change in of_kind)
        if of_kind:
            parts.append(f"{kind}: {len(of_kind) - better_ones} worse, {better_ones} better")
    return "; ".join(parts)[0].upper() + "; ".join(parts)[1:]


def _table(rows: Sequence[Change]) -> str:
    lines = ["| | figure | before | now | intervals overlap |", "|---|---|---|---|---|"]
    for change in rows:
        mark = "better" if change.is_better else "worse"
        mark = f"**{mark}**" if change.overlap is False else mark
        overlap = {True: "yes", False: "no", None: ""}[change.overlap]
        lines.append(f"| {mark} | {_plain(change.name)} | {change.before} | {change.after} | {overlap} |")
    return "\n".join(lines)


def _plain(name: str) -> str:
    """Names of classes come from anywhere."""
    return html.escape(name).replace("|", "\\|").replace("`", "\\`").replace("*", "\\*")
