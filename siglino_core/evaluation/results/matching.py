"""The same samples of two evaluations side by side, or why they may not be compared.

Legend: N samples.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from siglino_core.evaluation.results.columns import group_numbers
from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.rows import LIMIT, graded, is_partial

RECALL = "mean_recall"
# Parameters that were found, not asked for: two networks answer the same question with different ones.
FOUND = {"learning_rate", "sweep", "at_an_end", "calibration", "temperatures", "strength", "converged", "overlap"}
TAUGHT = ("teacher", "teacher_network", "teacher_preprocessing")  # parameters that say what a student is compared with
CLOSE = 1e-6  # a metric's value and the mean of its samples


@dataclass(frozen=True, kw_only=True, order=True)
class Key:
    """What is compared with what; ``metric`` is empty where no metric was reached."""

    task: str
    dataset: str
    network: str
    view: str
    metric: str = ""

    def __str__(self) -> str:
        return f"{self.task} on {self.dataset}, {self.network} {self.view}" + (
            f", {self.metric}" if self.metric else ""
        )


@dataclass(frozen=True, kw_only=True)
class Refused:
    """What could not be compared, and why."""

    key: Key
    why: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Matched:
    """One series of two evaluations, sample by sample.

    Attributes:
        first, second: fp64 [N], what each sample counts, in the same order.
        groups: int64 [N], None where every sample is its own.
        remark: what differs besides, in words; empty: nothing.
        asked_alike: whether all parameters that were asked for are the same.
    """

    key: Key
    first: np.ndarray
    second: np.ndarray
    groups: np.ndarray | None
    remark: str = ""
    asked_alike: bool = True


def matched(first: Evaluation, second: Evaluation) -> Iterator[Matched | Refused]:
    """Every series of every (task, data set, network, view) that both evaluations have, by name.

    Refused are partial results, other splits, other preprocessing, other samples, images, labels or groups, and samples
    whose mean is not the metric's value. Other parameters are a remark: some are fitted.
    """
    ours, theirs = _by_key(first), _by_key(second)
    shared = sorted(ours.keys() & theirs.keys())
    tables: tuple[tuple[str, str], pa.Table | None, pa.Table | None] | None = None
    for key in shared:
        why = _unlike(ours[key], theirs[key])
        if why:
            yield Refused(key=key, why=why)
            continue
        place = (key.task, key.dataset)
        if tables is None or tables[0] != place:  # one data set's tables at a time
            tables = (place, first.samples(*place), second.samples(*place))
        a, b = ours[key][0], theirs[key][0]
        yield from _series(key, a, b, _of(tables[1], key), _of(tables[2], key))


def missing(first: Evaluation, second: Evaluation) -> tuple[list[Key], list[Key]]:
    """What only the first and only the second evaluation has."""
    ours, theirs = _by_key(first), _by_key(second)
    return sorted(ours.keys() - theirs.keys()), sorted(theirs.keys() - ours.keys())


def _by_key(evaluation: Evaluation) -> dict[Key, list[Result]]:
    found: dict[Key, list[Result]] = {}
    for r in graded(evaluation.results):
        key = Key(task=r.task, dataset=r.dataset, network=r.network, view=r.view)
        found.setdefault(key, []).append(r)
    return found


def _unlike(first: list[Result], second: list[Result]) -> str:
    """Why two results may not be compared, as far as they tell it; empty: they may."""
    if len(first) > 1 or len(second) > 1:
        return "several splits under one name: their samples cannot be told apart"
    a, b = first[0], second[0]
    for which, r in (("first", a), ("second", b)):
        if is_partial(r):
            return f"the {which} is partial: {LIMIT}={r.parameters[LIMIT]}"
    if a.split != b.split:
        return f"the splits differ: {a.split} against {b.split}"
    differs = _difference(a.preprocessing, b.preprocessing)
    if differs:
        return f"the preprocessing differs: {differs}"
    differs = _difference(*({name: r.parameters.get(name) for name in TAUGHT} for r in (a, b)))
    return f"the teacher differs: {differs}" if differs else ""


def _difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """Which values differ, in words; a tuple and a list of the same are the same."""
    words = []
    for name in sorted(first.keys() | second.keys()):
        a, b = (_plain(m.get(name)) for m in (first, second))
        if a != b:
            words.append(f"{name} {a} against {b}")
    return "; ".join(words)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, list | tuple) else value


def _of(table: pa.Table | None, key: Key) -> dict[str, pa.Table]:
    """The series of a view by metric, each in the order of its samples' ids."""
    if table is None:
        return {}
    own = table.filter((pc.field("network") == key.network) & (pc.field("view") == key.view))
    metrics = own.column("metric").unique().to_pylist()
    return {m: own.filter(pc.field("metric") == m).sort_by("sample_id") for m in sorted(metrics)}


def _series(
    key: Key, first: Result, second: Result, ours: Mapping[str, pa.Table], theirs: Mapping[str, pa.Table]
) -> Iterator[Matched | Refused]:
    for which, series in (("first", ours), ("second", theirs)):
        if not series:
            yield Refused(key=key, why=f"the {which} has no samples of it")
            return
    differs = _difference(first.parameters, second.parameters)
    remark = f"the parameters differ: {differs}" if differs else ""
    if RECALL in (first.headline[0], second.headline[0]):
        ours, theirs = ({**series, **_recall(series)} for series in (ours, theirs))
    asked = [{n: v for n, v in r.parameters.items() if n not in FOUND} for r in (first, second)]
    for metric in sorted(ours.keys() | theirs.keys()):
        at = Key(task=key.task, dataset=key.dataset, network=key.network, view=key.view, metric=metric)
        if metric not in ours or metric not in theirs:
            yield Refused(key=at, why=f"only the {'first' if metric in ours else 'second'} has samples of it")
            continue
        a, b = ours[metric], theirs[metric]
        why = _other_samples(a, b) or _other_mean("first", first, metric, a) or _other_mean("second", second, metric, b)
        if why:
            yield Refused(key=at, why=why)
            continue
        groups = group_numbers(a)
        values = (t.column("correct").to_numpy() for t in (a, b))
        yield Matched(
            key=at,
            first=next(values),
            second=next(values),
            groups=groups,
            remark=remark,
            asked_alike=not _difference(*asked),
        )


def _recall(series: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The series of top-1 as one whose plain mean is the mean recall: each class is as heavy as the others."""
    table = series.get("top1")
    if table is None:
        return {}
    _, class_N, counts_C = np.unique(_texts(table, "label"), return_inverse=True, return_counts=True)
    weight_N = len(class_N) / len(counts_C) / counts_C[class_N]
    at = table.schema.get_field_index("correct")
    weighted = pa.array(table.column("correct").to_numpy() * weight_N)
    return {RECALL: table.set_column(at, table.schema.field(at), weighted)}


def _texts(table: pa.Table, name: str) -> np.ndarray:
    """A column of text, [N]; null is as empty."""
    return np.array([value or "" for value in table.column(name).to_pylist()], object)


def _other_samples(first: pa.Table, second: pa.Table) -> str:
    """Why two series are not of the same samples; empty: they are."""
    a, b = (np.array(t.column("sample_id").to_pylist(), object) for t in (first, second))
    if len(a) != len(b) or (a != b).any():
        only_a, only_b = sorted({*a} - {*b}), sorted({*b} - {*a})
        return (
            f"the samples differ: {len(only_a):,} only in the first, {len(only_b):,} only in the second, such as "
            f"{(only_a or only_b)[0]}"
        )
    images_a, images_b = (np.array(t.column("image_id").to_pylist(), object) for t in (first, second))
    other = (images_a != images_b) & (images_a != "") & (images_b != "")
    if other.any():
        return f"{int(other.sum()):,} samples have other images, such as {a[other.argmax()]}"
    labels_a, labels_b = (_texts(t, "label") for t in (first, second))
    if (relabelled := labels_a != labels_b).any():
        at = int(relabelled.argmax())
        return (
            f"{int(relabelled.sum()):,} samples have other labels, such as {a[at]}: {labels_a[at]} against "
            f"{labels_b[at]}"
        )
    groups_a, groups_b = (np.array(t.column("group").to_pylist(), object) for t in (first, second))
    return "" if (groups_a == groups_b).all() else "the samples are in other groups"


def _other_mean(which: str, result: Result, metric: str, table: pa.Table) -> str:
    """Why samples are not those of the result; empty: they are, or the metric is no plain mean in it."""
    if metric not in result.metrics:
        return ""
    mean, value = pc.mean(table.column("correct")).as_py(), result.metrics[metric].value  # pyright: ignore[reportAttributeAccessIssue]
    if abs(mean - value) <= CLOSE:
        return ""
    return f"the {which}'s samples have the mean {mean:.6f}, but its result says {value:.6f}"
