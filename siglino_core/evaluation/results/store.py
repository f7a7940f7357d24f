"""How results lie under an evaluation's folder: one JSON file a task and data set, and the samples beside it.

``results/<task>/<dataset>.json`` holds every network and view of it, ``samples/<task>/<dataset>.parquet`` what each
sample said. The same results give the same bytes: keys in order, floats with :data:`DIGITS` digits, no time, no path.
"""

import io
import itertools
import json
import math
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from siglino_core.errors import ConfigError, DataError
from siglino_core.evaluation.results.columns import KEY, checked_samples
from siglino_core.evaluation.results.result import SANITY, Metric, Result

FORMAT = 1  # of results' files
DIGITS = 12  # significant digits of a float: more than any metric has, fewer than where sums in another order differ
SCHEMA_FILE = Path(__file__).parent / "results.schema.json"
RESULTS, SAMPLE_FILES = "results", "samples"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+@-]{0,127}\Z")  # a plain file name on every store


def results_file(task: str, dataset: str) -> str:
    """Where results lie under the folder.

    Raises:
        ConfigError: a name cannot name a file.
    """
    return f"{RESULTS}/{_plain(task)}/{_plain(dataset)}.json"


def samples_file(task: str, dataset: str) -> str:
    """Where samples lie under the folder.

    Raises:
        ConfigError: a name cannot name a file.
    """
    return f"{SAMPLE_FILES}/{_plain(task)}/{_plain(dataset)}.parquet"


def _plain(name: str) -> str:
    if not _NAME.match(name):
        raise ConfigError(
            f"the name {name!r} cannot name a file of results; use letters, digits, dots, dashes and underscores"
        )
    return name


def write_results(results: Sequence[Result]) -> bytes:
    """The file of one task on one data set.

    Results are ordered by split, network, view and sanity row, so that their order does not matter. As JSON has no
    order of keys, ``metric_names`` holds a result's metrics in theirs, the headline first.

    Raises:
        DataError: there are none, they are of several tasks or data sets, one is there twice, one has no metric, or a
            value is no finite number.
    """
    if not results:
        raise DataError("there are no results to write")
    where = {(r.task, r.dataset) for r in results}
    if len(where) > 1:
        raise DataError(f"results of one file are of one task and data set, not of {sorted(where)}")
    ordered = sorted(results, key=_order)
    for one, other in itertools.pairwise(ordered):
        if _order(one) == _order(other):
            raise DataError(f"{_said(one)} is there twice")
    task, dataset = where.pop()
    content = {"schema": FORMAT, "task": task, "dataset": dataset, "results": [_stored(r) for r in ordered]}
    return json.dumps(content, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=True).encode() + b"\n"


def read_results(data: bytes, what: str = "the results") -> list[Result]:
    """What :func:`write_results` was given, in the file's order.

    Args:
        what: the file's name in errors.

    Raises:
        DataError: it is no such file, or one of a later version.
    """
    try:
        content = json.loads(data, parse_constant=_refused)
        if not isinstance(content, dict) or "schema" not in content:
            raise ValueError("it has no schema")
        if content["schema"] != FORMAT:
            raise DataError(
                f"{what}: schema {content['schema']!r} is not {FORMAT}, the only one that this version reads; read "
                "it with the version that wrote it"
            )
        results = [_read(stored) for stored in content["results"]]
        for r in results:
            if (r.task, r.dataset) != (content["task"], content["dataset"]):
                raise ValueError(f"{_said(r)} is in the file of {content['task']} on {content['dataset']}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as e:
        raise DataError(f"{what}: no file of results ({type(e).__name__}: {e}); evaluate again") from e
    return results


def write_samples(table: pa.Table) -> bytes:
    """The samples' file: rows by network, view, metric and sample.

    Raises:
        DataError: as :func:`siglino_core.evaluation.results.columns.checked_samples`.
    """
    table = checked_samples(table, "samples").sort_by([(name, "ascending") for name in (*KEY, "sample_id")])
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


def read_samples(data: bytes, what: str = "the samples") -> pa.Table:
    """A table of :data:`siglino_core.evaluation.results.columns.SAMPLES`.

    Raises:
        DataError: it is no such file.
    """
    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowInvalid, OSError) as e:
        raise DataError(f"{what}: no Parquet file ({e}); evaluate again") from e
    return checked_samples(table, what)


@cache
def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a results' file."""
    return json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))


def _stored(result: Result) -> dict[str, Any]:
    if not result.metrics:
        raise DataError(f"{_said(result)} has no metric")
    values = result.to_dict()
    return _rounded({**values, "metric_names": list(result.metrics)}, _said(result))


def _read(stored: Mapping[str, Any]) -> Result:
    values = dict(stored)
    names = values.pop("metric_names")
    if sorted(names) != sorted(values["metrics"]) or not names:
        raise ValueError(f"metric_names are {names}, but there are {sorted(values['metrics'])}")
    if values["sanity"] not in ("", *SANITY):
        raise ValueError(f"sanity is {values['sanity']!r}")
    result = Result.read({**values, "metrics": {name: values["metrics"][name] for name in names}})
    for name, metric in result.metrics.items():
        if not _is_metric(metric):
            raise ValueError(f"{name} of {_said(result)} is {metric}")
    return result


def _is_metric(metric: Metric) -> bool:
    numbers = (metric.value, *(end for end in (metric.low, metric.high) if end is not None), metric.n)
    return all(isinstance(v, float | int) and not isinstance(v, bool) for v in numbers)


def _order(result: Result) -> tuple[str, str, str, str]:
    return result.split, result.network, result.view, result.sanity


def _said(result: Result) -> str:
    sanity = f" ({result.sanity})" if result.sanity else ""
    return f"{result.task} on {result.dataset} {result.split}: {result.network} {result.view}{sanity}"


def _rounded(value: Any, what: str) -> Any:
    """Plain values alone, floats with :data:`DIGITS` significant digits; a whole float stays a float."""
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            raise DataError(f"{what}: a key of {sorted(map(repr, value))} is no text")
        return {key: _rounded(v, f"{what}, {key}") for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v, what) for v in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"{what} is {value}, which is no number; a metric without one is left out")
        return float(f"{value:.{DIGITS}g}") + 0.0  # a zero has no sign
    if hasattr(value, "item"):  # NumPy's scalars
        return _rounded(value.item(), what)
    raise DataError(f"{what} is a {type(value).__name__}, which JSON does not know")


def _refused(constant: str) -> float:
    raise ValueError(f"it holds {constant}")
