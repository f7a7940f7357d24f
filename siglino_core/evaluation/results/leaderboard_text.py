"""The leaderboard as Markdown, for people, and as CSV, for spreadsheets and programs."""

import csv
import io

from siglino_core.evaluation.results.leaderboard import Cell, Column, Leaderboard, Row
from siglino_core.evaluation.results.rows import points, said
from siglino_core.report.cards import plain, table
from siglino_core.report.evaluation_words import SANITY_WORDS

CELL = ("value", "low", "high", "n", "n_failed", "retention", "teacher", "partial")


def markdown(board: Leaderboard) -> str:
    """A table with intervals, shares of the teacher's value and averages, and what must be known under it.

    Numbers are percent. Text of others stays text.
    """
    columns, tasks = board.columns, _averaged(board)
    head = ["network", "view", *(_head(board, c) for c in columns), *(f"{plain(t)} mean; rank" for t in tasks)]
    rows = [
        [*_names(row), *(_cell(row.cells.get(c)) for c in columns), *(_average(row, task) for task in tasks)]
        for row in board.rows
    ]
    notes = [
        "Percent, with the 95% interval. *of X* is the share of the value of teacher X on the same data.",
        *(
            ["Means count every data set once, whatever its size; rank is the mean place, 1 is the best."]
            if tasks
            else []
        ),
        *(plain(note, 1000) for note in board.notes),
    ]
    return table(head, rows, left=2) + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def csv_text(board: Leaderboard) -> str:
    """A line a row; a column is named task/dataset/split/metric, and what belongs to it is beside it. Shares of 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    tasks = _averaged(board)
    names = ["/".join((c.task, c.dataset, c.split, c.metric)) for c in board.columns]
    heads = [name if part == "value" else f"{name}/{part}" for name in names for part in CELL]
    of_tasks = [f"{task}/{part}" for task in tasks for part in ("mean", "mean/low", "mean/high", "datasets", "rank")]
    writer.writerow(["network", "view", "sanity", *heads, *of_tasks])
    for row in board.rows:
        cells = [value for c in board.columns for value in _values(row.cells.get(c))]
        averages = [value for task in tasks for value in _average_values(row, task)]
        writer.writerow([row.network, row.view, row.sanity, *cells, *averages])
    return out.getvalue()


def _averaged(board: Leaderboard) -> list[str]:
    return [task for task in board.tasks if any(task in row.averages for row in board.rows)]


def _head(board: Leaderboard, column: Column) -> str:
    counts = {row.cells[column].metric.n for row in board.rows if column in row.cells and not row.sanity}
    n = f"n = {counts.pop():,}" if len(counts) == 1 else "several n" if counts else ""
    return plain(f"{column.task} {column.dataset} {column.split} {column.metric}") + (f" ({n})" if n else "")


def _names(row: Row) -> list[str]:
    names = [plain(row.network), plain(row.view)]
    if row.sanity:
        names[0] = f"*{SANITY_WORDS[row.sanity]}*" + (f" {names[0]}" if row.network else "")
    return names


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    text = said(cell.metric)
    if cell.retention is not None and cell.teacher is not None:
        text += f", {points(cell.retention)}% *of {plain(cell.teacher[0])}*"
    return text + (" (partial)" if cell.partial else "")


def _average(row: Row, task: str) -> str:
    found = row.averages.get(task)
    return f"{said(found.mean)}; {found.rank:.1f}" if found else "–"


def _values(cell: Cell | None) -> list[object]:
    if cell is None:
        return [""] * len(CELL)
    m = cell.metric
    teacher = " ".join(cell.teacher) if cell.teacher else ""
    numbers = [_number(v) for v in (m.value, m.low, m.high)]
    return [*numbers, m.n, cell.n_failed, _number(cell.retention), teacher, int(cell.partial)]


def _average_values(row: Row, task: str) -> list[object]:
    found = row.averages.get(task)
    if found is None:
        return [""] * 5
    numbers = [_number(v) for v in (found.mean.value, found.mean.low, found.mean.high)]
    return [*numbers, found.mean.n, _number(found.rank)]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
