"""Finished evaluations and answers written by hand: results with their samples, committed as the stage commits them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.evaluation.results.columns import samples_table
from siglino_core.evaluation.results.result import CHANCE, PERMUTED, Metric, Result
from siglino_core.evaluation.results.store import results_file, samples_file, write_results, write_samples
from siglino_core.grounding.judged.answer import Kind
from siglino_core.grounding.judged.verdict import judge
from siglino_core.store import Identity, Run, ShardWriter
from tests.siglino_core.evaluation.made import result, samples
from tests.siglino_core.grounding.judged.rows import expression, row, saying, series


def answers(seed: int, *, n: int = 2000, drop: float = 0.0, churn: float = 0.02) -> tuple[np.ndarray, np.ndarray]:
    """Of n samples 70% right; in the second as many change each way, and ``drop`` of all become wrong besides."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(4, n, p=[0.70 - churn - drop, 0.30 - churn, churn, churn + drop])
    return np.array([1, 0, 0, 1])[kinds], np.array([1, 0, 1, 0])[kinds]


def evaluated(folder: Path, correct: Mapping[str, np.ndarray], *, permuted: float = 0.05, **facts: Any) -> Path:
    """A run whose `evaluate` is finished: kNN of a student's views on one data set, and its sanity rows."""
    rows, tables = [], []
    for view, values in correct.items():
        rows.append(of_view(view, float(values.mean()), len(values)))
        tables += samples(values, view=view).to_pylist()
    n = len(next(iter(correct.values())))
    rows += [of_view("", 0.05, n, sanity=CHANCE), of_view("", permuted, n, sanity=PERMUTED)]
    return written(folder, rows, samples_table(tables), **facts)


def written(folder: Path, rows: Sequence[Result], table: pa.Table | None = None, **facts: Any) -> Path:
    """A run whose `evaluate` is finished with results of kNN on cub."""
    stage = Run(str(folder)).stage("evaluate")
    identity = Identity(stage="evaluate", version=1, config={"values": [r.headline[1].value for r in rows]}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "score-cub", "kind": "score", "dataset": "cub"}])
    with stage.writer("score-cub", identity.fingerprint) as out:
        out.put(results_file("knn", "cub"), write_results(rows))
        if table is not None:
            out.put(samples_file("knn", "cub"), write_samples(table))
        out.commit(rows=len(rows))
    stage.finish(identity, todo, facts={"headlines": [], "passed": [], **facts})
    return folder


def answered(folder: Path, right: Mapping[Kind, np.ndarray], inputs: Mapping[str, str] | None = None) -> Path:
    """A run whose `answers` is finished: an expression an image, and which of them the model and the rest found."""
    box, away = [0.0, 0.0, 10.0, 10.0], [10.0, 10.0, 20.0, 20.0]
    kinds = {
        kind: series([row(expression([box]), saying([box if ok else away]), f"i{i}", kind=kind) for i, ok in rows])
        for kind, rows in ((kind, enumerate(ok_N)) for kind, ok_N in right.items())
    }
    judged = judge("drawn", kinds, {}, forced=False, parameters={}, hashes={})
    config = {"values": [r.headline[1].value for r in judged.results]}
    with writing(folder, "answers", config, inputs) as out:
        out.put(results_file("grounding_box", "drawn"), write_results(judged.results))
        table = samples_table(judged.samples["grounding_box"])
        out.put(samples_file("grounding_box", "drawn"), write_samples(table))
    return folder


def answering(found: int = 80, shuffled: int = 30, prior: int = 10, n: int = 100) -> dict[Kind, np.ndarray]:
    """Of n expressions so many are found by the model, by it with other texts, and by a box that never changes."""
    counts = {Kind.MODEL: found, Kind.SHUFFLED: shuffled, Kind.PRIOR: prior}
    return {kind: np.arange(n) < count for kind, count in counts.items()}


@contextmanager
def writing(
    folder: Path, name: str, config: Mapping[str, Any], inputs: Mapping[str, str] | None = None
) -> Iterator[ShardWriter]:
    """Finish a stage of what is put within, in the place of what is there."""
    stage = Run(str(folder)).stage(name)
    identity = Identity(stage=name, version=1, config=dict(config), inputs=dict(inputs or {}))
    todo = stage.begin(identity, lambda: [{"name": "all", "kind": "all"}], redo="always")
    with todo.stage.writer("all", identity.fingerprint) as out:
        yield out
        out.commit(rows=1)
    stage.finish(identity, todo, facts={})


def digest(folder: Path, name: str) -> str:
    return Run(str(folder)).stage(name).require().digest


def of_view(view: str, value: float, n: int, **changes: Any) -> Result:
    half = 1.96 * (value * (1 - value) / n) ** 0.5
    metric = Metric(value=value, low=value - half, high=value + half, n=n, method="wilson")
    return result(view=view, n=n, metrics={"top1": metric}, **changes)
