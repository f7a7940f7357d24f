"""A comparison of two evaluations in words: Markdown, and a table for a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from siglino_core.evaluation.results.compare import Comparison, Pair
from siglino_core.evaluation.results.matching import Key
from siglino_core.evaluation.results.rows import points, span, task_order
from siglino_core.foreign import printable
from siglino_core.report.cards import plain, table
from siglino_core.report.evaluation_words import task_name

if TYPE_CHECKING:
    from rich.table import Table

NAMES = ("task", "data set", "network", "view", "metric")
HEAD = (*NAMES, "first", "second", "difference", "95% interval", "p", "p (Holm)", "would be found", "n")
SURE = 0.05


def markdown(comparison: Comparison) -> str:
    """A table of the differences in points, and under it what was not compared and why; others' text stays text."""
    rows = [[*map(plain, _names(p.key)), *_numbers(p)] for p in comparison.pairs]
    parts = [
        f"First: {plain(comparison.first, 300)}. Second: {plain(comparison.second, 300)}.",
        table(list(HEAD), rows, left=len(NAMES)) if rows else "Nothing could be compared.",
        "\n".join(f"- {plain(line, 1000)}" for line in notes(comparison)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def terminal(comparison: Comparison) -> "list[Table]":
    """The same for `rich`, a table a task, data set and metric, in the order of the tasks; sure differences are bold.

    :func:`notes` belong under them.
    """
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in comparison.pairs:
        groups.setdefault((pair.key.task, pair.key.dataset, pair.key.metric), []).append(pair)
    ordered = sorted(groups.items(), key=lambda one: task_order(one[0][0]))
    return [_of_group(*where, pairs) for where, pairs in ordered]


def _of_group(task: str, dataset: str, metric: str, pairs: Sequence[Pair]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    counts = {_counted(p) for p in pairs}
    n = f", n = {min(counts)}" if len(counts) == 1 else ""
    title = f"{task_name(task)} on {dataset}: {metric.replace('_', ' ')}{n}"
    heads = ("network, view", "first", "second", "difference", "p (Holm)", "would be found", *([] if n else ["n"]))
    made = Table(box=None, header_style="dim", padding=(0, 2), title_justify="left", title_style="bold")
    made.title = Text(printable(title))
    for i, head in enumerate(heads):
        made.add_column(head, justify="right" if i else "left")
    for p in pairs:
        first, second, difference, between, _, p_holm, found, count = _numbers(p)
        cells = [
            f"{p.key.network}, {p.key.view}",
            first,
            second,
            f"{difference} ({between})" if p.low is not None else difference,
            p_holm,
            found,
        ]
        cells += [] if n else [count]
        made.add_row(*(Text(printable(c)) for c in cells), style="bold" if p.p_holm < SURE else None)
    return made


def notes(comparison: Comparison) -> list[str]:
    """What must be known beside the table, a sentence each."""
    said = []
    if comparison.pairs:
        sure = [p for p in comparison.pairs if p.p_holm < SURE]
        up = sum(p.difference > 0 for p in sure)
        said.append(
            f"{len(comparison.pairs):,} compared on the same samples; {up:,} better and {len(sure) - up:,} worse "
            f"by more than chance (p < {SURE} after Holm over all). Numbers are percent, differences are points."
        )
    said += [f"{p.key}: {p.remark}" for p in comparison.pairs if p.remark]
    said += [f"not compared: {r.key}: {r.why}" for r in comparison.refused]
    said += [f"only in the first: {key}" for key in comparison.only_first]
    said += [f"only in the second: {key}" for key in comparison.only_second]
    return said


def _names(key: Key) -> Sequence[str]:
    return key.task, key.dataset, key.network, key.view, key.metric


def _numbers(p: Pair) -> list[str]:
    return [
        points(p.first),
        points(p.second),
        points(p.difference, signed=True),
        span(p.low, p.high, signed=True) or "–",
        chance(p.p),
        chance(p.p_holm),
        "–" if p.detectable is None else points(p.detectable),
        _counted(p),
    ]


def _counted(p: Pair) -> str:
    return f"{p.n:,}" if p.groups == p.n else f"{p.n:,} in {p.groups:,} groups"


def chance(p: float) -> str:
    """A p-value: 0.012, or <0.0001."""
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"
