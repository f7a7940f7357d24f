"""The evaluation's page: its results, tables and samples as the plain values that the report takes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from siglino_core.evaluation.results.by_cluster import ClusterRow
from siglino_core.evaluation.results.curves import Curve, curves
from siglino_core.evaluation.results.gate import Gate
from siglino_core.evaluation.results.leaderboard import Cell, Leaderboard, Row, leaderboard
from siglino_core.evaluation.results.matching import Key
from siglino_core.evaluation.results.result import Metric, Result
from siglino_core.evaluation.results.rows import View
from siglino_core.evaluation.results.worst import worst_samples
from siglino_core.report.evaluation import evaluation_page


def html(
    results: Sequence[Result],
    *,
    title: str,
    date: str = "",
    teachers: Mapping[View, View] | None = None,
    gate: Gate | None = None,
    clusters: Mapping[Key, Sequence[ClusterRow]] | None = None,
    worst: Mapping[Key, pa.Table] | None = None,
    image: Callable[[str], bytes | None] = lambda image_id: None,
    notes: Sequence[str] = (),
    limits: Sequence[str] = (),
) -> str:
    """The page of an evaluation (`siglino_core.report.evaluation.evaluation_page`).

    Args:
        teachers: as `leaderboard.leaderboard` takes them.
        clusters: rows of `by_cluster.by_cluster` by what they are about.
        worst: samples of one series each, of which the worst are shown.
        image: the encoded image of an ``image_id``, None where it cannot be had; asked for what is shown alone.
        notes: what was passed over and why, in sentences.
        limits: more that is not measured, in sentences.
    """
    return evaluation_page(
        [r.to_dict() for r in results],
        title=title,
        date=date,
        leaderboard=plain_board(leaderboard(results, teachers=teachers)),
        curves=[_curve(c) for c in curves(results)],
        clusters=[{**asdict(key), "rows": [asdict(r) for r in rows]} for key, rows in (clusters or {}).items()],
        worst=[{**asdict(key), "samples": _with_images(table, image)} for key, table in (worst or {}).items()],
        gate=None if gate is None else [asdict(check) for check in gate.checks],
        notes=notes,
        limits=limits,
    )


def plain_board(board: Leaderboard) -> dict[str, Any]:
    """A leaderboard as plain values: a table a task."""
    tables = []
    for task in board.tasks:
        columns = [c for c in board.columns if c.task == task]
        rows = [row for row in board.rows if any(c in row.cells for c in columns)]
        tables.append(
            {
                "task": task,
                "columns": [
                    {
                        "dataset": c.dataset,
                        "split": c.split,
                        "metric": c.metric,
                        "n": sorted({r.cells[c].metric.n for r in rows if c in r.cells and not r.sanity}),
                    }
                    for c in columns
                ],
                "rows": [{**_row(row, task), "cells": [_cell(row.cells.get(c)) for c in columns]} for row in rows],
            }
        )
    return {"tasks": tables, "notes": list(board.notes)}


def _row(row: Row, task: str) -> dict[str, Any]:
    found = row.averages.get(task)
    return {
        "network": row.network,
        "view": row.view,
        "sanity": row.sanity,
        "mean": _metric(found.mean) if found else None,
        "rank": found.rank if found else None,
    }


def _cell(cell: Cell | None) -> dict[str, Any] | None:
    if cell is None:
        return None
    more = {
        "partial": cell.partial,
        "retention": cell.retention,
        "teacher": list(cell.teacher) if cell.teacher else None,
    }
    return {**_metric(cell.metric), **more}


def _metric(metric: Metric) -> dict[str, Any]:
    return {"value": metric.value, "low": metric.low, "high": metric.high, "n": metric.n}


def _curve(curve: Curve) -> dict[str, Any]:
    points = [{"side": side, **_metric(r.headline[1])} for side, r in curve.points]
    about = {
        "task": curve.task,
        "dataset": curve.dataset,
        "metric": curve.metric,
        "view": curve.view,
        "name": curve.name,
    }
    return {**about, "points": points}


def _with_images(table: pa.Table, image: Callable[[str], bytes | None]) -> list[dict[str, Any]]:
    return [{**row, "data": image(row["image_id"])} for row in worst_samples(table)]
