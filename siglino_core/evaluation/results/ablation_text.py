"""A grid's table in words: Markdown, and tables for a terminal."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from siglino_core.evaluation.results.ablation import OPPOSITE, SHOWS, UP, Line, Measure
from siglino_core.foreign import printable
from siglino_core.report.cards import plain, table

if TYPE_CHECKING:
    from rich.table import Table

HEAD = ("arm", "seeds", "mean", "test set ±", "difference", "95% interval", "detectable", "paper", "verdict")
LEFT = 1  # columns of names


def markdown(lines: Sequence[Line], measures: Sequence[Measure], *, title: str = "") -> str:
    """A table a measure, and under all what their columns say; others' text stays text."""
    parts = [f"## {plain(title)}"] if title else []
    for measure in measures:
        own = [line for line in lines if line.metric == measure.name]
        rows = [[plain(cell, 300) for cell in _cells(line)] for line in own]
        parts += [f"**{plain(_title(measure))}**", table(list(HEAD), rows, left=LEFT)]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes(lines))]) + "\n"


def terminal(lines: Sequence[Line], measures: Sequence[Measure]) -> "list[Table]":
    """The same for `rich`; what shows a direction is bold. :func:`notes` belong under them."""
    from rich.table import Table
    from rich.text import Text

    tables = []
    for measure in measures:
        made = Table(box=None, header_style="dim", padding=(0, 2), title_justify="left", title_style="bold")
        made.title = Text(printable(_title(measure)))
        for name in HEAD:
            made.add_column(name, justify="left" if name in ("arm", "verdict") else "right")
        for line in (line for line in lines if line.metric == measure.name):
            sure = line.over is not None and line.over.low is not None and not _holds_zero(line)
            made.add_row(*(Text(printable(c)) for c in _cells(line)), style="bold" if sure else None)
        tables.append(made)
    return tables


def notes(lines: Sequence[Line]) -> list[str]:
    """What must be known beside the table, a sentence each."""
    compared = [line for line in lines if line.over is not None and line.over.n > 1]
    told = [line for line in compared if line.paper is not None]
    counts = {what: sum(line.verdict == what for line in told) for what in (SHOWS, OPPOSITE)}
    return [
        f"{len(compared)} rows are compared with their baseline. Of {len(told)} the paper says a direction: "
        f"{counts[SHOWS]} show it, {counts[OPPOSITE]} the opposite, {len(told) - sum(counts.values())} cannot tell.",
        "The difference to the baseline is paired by seed; its interval is Student's over seeds. Without any true "
        "difference it leaves out 0 once in twenty: "
        f"of so many rows about {0.05 * len(compared):.1f} would by chance alone.",
        "`detectable` is the true difference that so many seeds with this spread would find 4 times in 5.",
        "`test set ±` is half of the evaluation's own 95% interval, on one training: how far a value would differ on "
        "another test set of this kind. All arms have the same one.",
    ]


def _title(measure: Measure) -> str:
    return f"{measure.title or measure.name.replace('_', ' ')}, {measure.unit}"


def _holds_zero(line: Line) -> bool:
    over = line.over
    return over is None or over.low is None or over.high is None or over.low <= 0 <= over.high


def _cells(line: Line) -> list[str]:
    over = line.over
    interval = "" if over is None or over.low is None or over.high is None else f"{sign(over.low)} to {sign(over.high)}"
    return [
        line.arm,
        str(line.seeds),
        "–" if line.mean is None else number(line.mean),
        "" if line.sampling is None else number(line.sampling),
        "" if over is None else sign(over.mean),
        interval,
        "" if over is None or over.detectable is None else number(over.detectable),
        "" if line.paper is None else paper(line.paper),
        f"{line.verdict}; {line.why}" if line.why else line.verdict,
    ]


def number(value: float) -> str:
    """Two decimals, fewer of what is large: 61.24, 0.47, 12,345."""
    return (f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2f}").replace("-", "−")


def sign(value: float) -> str:
    """The same with its sign."""
    text = number(abs(value))
    return text if float(text.replace(",", "")) == 0 else f"{'+' if value > 0 else '−'}{text}"


def paper(value: float | str) -> str:
    """A published difference, or its direction."""
    return ("higher" if value == UP else "lower") if isinstance(value, str) else sign(value)
