"""What a command prints of an evaluation: a table a task, best views marked, and why some things are not measured."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.screen import say
from siglino_core.evaluation.results.leaderboard import Column, Leaderboard, Row, leaderboard
from siglino_core.evaluation.results.result import SANITY, Metric, Result
from siglino_core.evaluation.results.rows import AT, DESCRIPTIVE, FIDELITY, STUDENT, UNTRAINED, View, said
from siglino_core.foreign import printable
from siglino_core.grounding.judged.verdict import BASELINE
from siglino_core.report.evaluation_words import SANITY_WORDS, task_name
from siglino_core.report.numbers import percent

BESIDE = 2  # data sets whose columns stand side by side: more are wider than a terminal
BEST = "*"


def headlines(facts: Mapping[str, Any], console: Console) -> None:
    """What networks are worth, a table a task: teachers, the student's views, others, untrained ones, sanity rows.

    Args:
        facts: of the evaluation's manifest.
    """
    board = leaderboard([_result(row) for row in facts["headlines"]])
    taught_by = {cell.teacher for row in board.rows for cell in row.cells.values() if cell.teacher}
    for task in board.tasks:
        columns = [c for c in board.columns if c.task == task]
        for i in range(0, len(columns), BESIDE):
            _table(board, columns[i : i + BESIDE], taught_by, console)
    marked = any(_best(board.rows, column, taught_by) for column in board.columns)
    if board.rows:
        chosen = f" {BEST}: the student's best view, chosen on these samples." if marked else ""
        say(console, "", f"  Percent, with 95% intervals.{chosen}")
    say(console, *not_measured(facts["passed"]))


def grounding(facts: Mapping[str, Any], console: Console) -> None:
    """The same of a fine-tuned model's answers, with their baselines; then what of it is not above these.

    Args:
        facts: of the manifest of `answers`.
    """
    headlines({"headlines": facts["headlines"], "passed": []}, console)
    say(console, *(f"  {line}" for line in facts["not_above"]))


def not_measured(passed: Sequence[str]) -> list[str]:
    """What was passed over, a line a network and reason; it comes as ``zero shot on pool by lite: it has no text``."""
    found: dict[tuple[str, str], list[str]] = {}
    for line in passed:
        what, _, why = line.partition(": ")
        task, by, network = what.rpartition(" by ")
        found.setdefault((network if by else "", why), []).append(task if by else what)
    lines = []
    for (network, why), tasks in found.items():
        of = f" by {network}" if network else ""
        lines.append(f"  not measured: {', '.join(dict.fromkeys(tasks))}{of}" + (f": {why}" if why else ""))
    return lines


def _result(row: Mapping[str, Any]) -> Result:
    """A headline as the result that it was; its split is its data set's one."""
    metric = Metric(value=row["value"], low=row["low"], high=row["high"], n=row["n"])
    where = {key: row[key] for key in ("task", "dataset", "network", "view", "sanity", "n")}
    return Result(**where, split="", metrics={row["metric"]: metric})


def _table(board: Leaderboard, columns: Sequence[Column], teachers: set[View], console: Console) -> None:
    rows = [row for row in board.rows if any(c in row.cells for c in columns)]
    best = {c: _best(rows, c, teachers) for c in columns}
    table = Table(box=None, header_style="dim", padding=(0, 2), title_justify="left", title_style="bold")
    table.title = Text(printable(task_name(columns[0].task)))
    table.add_column("network, view", no_wrap=True)
    counts = {c: {row.cells[c].metric.n for row in rows if c in row.cells} for c in columns}
    taught = {c for c in columns if any(c in row.cells and _kept(row, c) for row in rows)}
    for c in columns:
        n = f", n = {min(counts[c]):,}" if len(counts[c]) == 1 else ""
        table.add_column(Text(printable(f"{c.dataset}: {c.metric.replace('_', ' ')}{n}")), justify="right")
        if c in taught:
            table.add_column("of teacher", justify="right", no_wrap=True)
    proper = sorted((row for row in rows if not row.sanity), key=lambda row: _place(row, teachers))
    shown = [
        (row, [part for c in columns for part in _cells(row, c, best[c], len(counts[c]) == 1)[: 1 + (c in taught)]])
        for row in [*proper, *_sanity(rows)]
    ]
    for (_, cells), alike in groupby(shown, lambda one: (_likeness(one[0]), one[1])):
        first, *others = [row for row, _ in alike]
        name = f"{first.network}, {1 + len(others)} views alike" if others else _name(first)
        style = "dim" if first.sanity else "bold" if any(cell.endswith(BEST) for cell in cells) else None
        table.add_row(*(Text(printable(cell)) for cell in (name, *cells)), style=style)
    console.print()
    console.print(table)


def _likeness(row: Row) -> str:
    """Rows of one likeness and with the same numbers are one line: an untrained student's views say little apart."""
    return UNTRAINED if row.network == UNTRAINED and not row.sanity else f"{_name(row)} {row.sanity}"


def _place(row: Row, teachers: set[View]) -> tuple[int, str, str, str]:
    """Teachers, the student, other networks, the untrained student."""
    teacher = (row.network, row.view) in teachers
    of, _, side = row.network.partition(AT)  # a network at another size is beside itself
    return 0 if teacher else {STUDENT: 1, UNTRAINED: 3}.get(of, 2), of, side.zfill(5), row.view


def _sanity(rows: Sequence[Row]) -> list[Row]:
    """One row of each kind: the student's, else the first; the page has all. Of grounding all, which have names."""
    kinds = [[row for row in rows if row.sanity == kind] for kind in SANITY]
    of_networks = [[row for row in of_kind if row.network != BASELINE] for of_kind in kinds]
    found = [min(of_kind, key=lambda row: row.network != STUDENT) for of_kind in of_networks if of_kind]
    return [row for row in rows if row.network == BASELINE] + found


def _best(rows: Sequence[Row], column: Column, teachers: set[View]) -> View | None:
    """The best of the student's views; None where there are not two, more is not better, or each has its own target."""
    own = [r for r in rows if r.network == STUDENT and not r.sanity and column in r.cells]
    if len(own) < 2 or column.task in (*DESCRIPTIVE, FIDELITY):
        return None
    best = max(own, key=lambda row: row.cells[column].metric.value)
    return best.network, best.view


def _name(row: Row) -> str:
    if row.network == BASELINE:
        return row.view
    return SANITY_WORDS[row.sanity] if row.sanity else f"{row.network}, {row.view}"


def _cells(row: Row, column: Column, best: View | None, counted: bool) -> list[str]:
    """A value with its interval, and its share of the teacher's."""
    cell = row.cells.get(column)
    if cell is None:
        return ["–", ""]
    n = "" if counted else f", n = {cell.metric.n:,}"
    mark = BEST if not row.sanity and best == (row.network, row.view) else " "
    return [f"{said(cell.metric)}{n} {mark}", _kept(row, column)]


def _kept(row: Row, column: Column) -> str:
    """The share of the teacher's value; empty: there is none to be told."""
    cell = row.cells[column]
    untold = cell.retention is None or row.network == UNTRAINED or column.task in DESCRIPTIVE
    return "" if untold else percent(cell.retention or 0.0)
