"""One table of an evaluation: a row a view of a network, a column a data set's headline metric, sanity rows last."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from siglino_core.errors import DataError
from siglino_core.evaluation.results.averages import Averages, averages
from siglino_core.evaluation.results.result import Metric, Result
from siglino_core.evaluation.results.rows import (
    DESCRIPTIVE,
    View,
    is_partial,
    row_order,
    sanity_order,
    task_order,
    teachers_of,
)


@dataclass(frozen=True, kw_only=True, order=True)
class Column:
    """What a column is about; ``metric`` is the headline."""

    task: str
    dataset: str
    split: str
    metric: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A number of the table.

    Attributes:
        n_failed: samples of it that could not be read.
        partial: over a part of the split only.
        retention: its share of the teacher's value; None: no teacher, or one of 0.
        teacher: whose value that is.
    """

    metric: Metric
    n_failed: int = 0
    partial: bool = False
    retention: float | None = None
    teacher: View | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """A view of a network, or one of its sanity rows."""

    network: str
    view: str
    sanity: str = ""
    cells: Mapping[Column, Cell]
    averages: Mapping[str, Averages] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Leaderboard:
    """The table; ``notes`` say what a reader must know to compare its rows."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    tasks: Sequence[str]
    notes: Sequence[str] = ()


def leaderboard(results: Sequence[Result], *, teachers: Mapping[View, View] | None = None) -> Leaderboard:
    """The table of an evaluation's results.

    Args:
        teachers: (network, view) of a student to that of its teacher; None: by name (`rows.teachers_of`).

    Raises:
        DataError: a cell is there twice.
    """
    taught = teachers_of(results) if teachers is None else teachers
    cells: dict[tuple[View, str], dict[Column, Cell]] = {}
    values = {((r.network, r.view), _column(r)): r.headline[1].value for r in results if not r.sanity}
    for r in results:
        view, column = (r.network, r.view), _column(r)
        row = cells.setdefault((view, r.sanity), {})
        if column in row:
            raise DataError(
                f"{r.task} on {r.dataset} {r.split}: {r.network} {r.view} is there twice; give networks names of "
                "their own"
            )
        teacher = taught.get(view) if not r.sanity else None
        base = values.get((teacher, column)) if teacher else None
        row[column] = Cell(
            metric=r.headline[1],
            n_failed=r.n_failed,
            partial=is_partial(r),
            retention=r.headline[1].value / base if base else None,
            teacher=teacher if base else None,
        )
    columns = sorted({column for row in cells.values() for column in row}, key=lambda c: (task_order(c.task), c))
    proper = {view: row for (view, sanity), row in cells.items() if not sanity}
    tasks = sorted({c.task for c in columns}, key=task_order)
    means = {task: _of_task(task, columns, proper) for task in tasks}
    order = sorted(cells, key=lambda key: (sanity_order(key[1]), row_order(key[0], taught)))
    rows = [
        Row(
            network=view[0],
            view=view[1],
            sanity=sanity,
            cells=cells[view, sanity],
            averages={} if sanity else {task: means[task][view] for task in tasks if view in means[task]},
        )
        for view, sanity in order
    ]
    return Leaderboard(columns=columns, rows=rows, tasks=tasks, notes=_notes(columns, proper, means))


def _column(result: Result) -> Column:
    return Column(task=result.task, dataset=result.dataset, split=result.split, metric=result.headline[0])


def _of_task(task: str, columns: Sequence[Column], rows: Mapping[View, Mapping[Column, Cell]]) -> dict[View, Averages]:
    """Averages of the rows that have every column of the task, whole and over as many samples as the others."""
    own = [c for c in columns if c.task == task]
    if len(own) < 2 or len({c.metric for c in own}) > 1 or task in DESCRIPTIVE:
        return {}
    whole = {view: row for view, row in rows.items() if all(c in row and not row[c].partial for c in own)}
    if any(len({row[c].metric.n for row in whole.values()}) > 1 for c in own):
        return {}
    return averages({view: [row[c].metric for c in own] for view, row in whole.items()})


def _notes(
    columns: Sequence[Column],
    rows: Mapping[View, Mapping[Column, Cell]],
    means: Mapping[str, Mapping[View, Averages]],
) -> list[str]:
    notes = []
    for c in columns:
        there = [row[c] for row in rows.values() if c in row]
        counts = sorted({cell.metric.n for cell in there})
        if len(counts) > 1:
            said = ", ".join(f"{n:,}" for n in counts)
            notes.append(
                f"{c.task} on {c.dataset}: the rows have other numbers of samples ({said}); do not compare them."
            )
        if any(cell.partial for cell in there):
            notes.append(f"{c.task} on {c.dataset}: partial, over a part of the split only.")
        failed = max((cell.n_failed for cell in there), default=0)
        if failed:
            notes.append(f"{c.task} on {c.dataset}: {failed:,} samples could not be read and count as wrong.")
    for task, of_rows in means.items():
        own = [c for c in columns if c.task == task]
        if len(own) < 2 or task in DESCRIPTIVE:
            continue
        if len({c.metric for c in own}) > 1:
            notes.append(f"{task}: no average, as the data sets have other metrics.")
            continue
        without = sorted(view for view, row in rows.items() if view not in of_rows and any(c in row for c in own))
        if without:
            names = ", ".join(" ".join(view) for view in without)
            notes.append(
                f"{task}: no average for {names}: averages are over the same {len(own)} data sets, whole and with as "
                "many samples as the others, or not at all."
            )
    return notes
