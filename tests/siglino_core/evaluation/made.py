"""Results and samples made for tests."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.evaluation.results.columns import SAMPLES, checked_samples
from siglino_core.evaluation.results.result import Metric, Result


def metric(value: float, n: int = 1000, half: float = 0.02, method: str = "wilson") -> Metric:
    return Metric(value=value, low=value - half, high=value + half, n=n, method=method)


def result(value: float = 0.5, metric_name: str = "top1", **changes: Any) -> Result:
    values: dict[str, Any] = {
        "task": "knn",
        "dataset": "cub",
        "split": "test",
        "network": "student",
        "view": "siglip2",
        "n": 1000,
        "metrics": {metric_name: metric(value)},
        "parameters": {"k": 20},
        "preprocessing": {"fit": "grid", "max_pixels": 65536},
        "hashes": {"network": "a" * 32, "split": "s" * 32, "features": "f" * 32},
    }
    return Result(**(values | changes))


def samples(
    correct: Sequence[float] | np.ndarray,
    groups: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
    **values: Any,
) -> pa.Table:
    """One series: rows with the given outcomes."""
    n = len(correct)
    fixed: Mapping[str, Any] = {"network": "student", "view": "siglip2", "metric": "top1", "image_id": "i"} | values
    columns = {name: pa.repeat(pa.scalar(value, SAMPLES.field(name).type), n) for name, value in fixed.items()}
    columns["sample_id"] = pa.array(ids if ids is not None else [f"s{i:06d}" for i in range(n)], pa.string())
    columns["correct"] = pa.array(np.asarray(correct, np.float64))
    columns["group"] = pa.array(groups, pa.string()) if groups is not None else pa.nulls(n, pa.string())
    arrays = [columns.get(f.name, pa.nulls(n, f.type)) for f in SAMPLES]
    return checked_samples(pa.table(arrays, schema=SAMPLES), "samples")
