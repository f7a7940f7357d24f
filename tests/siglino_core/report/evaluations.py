"""Evaluations made for tests of their page."""

from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.evaluation.results.by_cluster import by_cluster
from siglino_core.evaluation.results.gate import Gate, Rules, gate
from siglino_core.evaluation.results.matching import Key
from siglino_core.evaluation.results.page import html
from siglino_core.evaluation.results.result import Metric, Result
from siglino_core.schema import CLUSTER_LOSS
from siglino_core.statistics.proportion import wilson
from tests.siglino_core.evaluation.made import samples
from tests.siglino_core.report.samples import image

N = 2000
KEY = Key(task="knn", dataset="cub", network="student", view="siglip2", metric="top1")


def share(value: float, n: int = N) -> Metric:
    found = wilson(round(value * n), n)
    return Metric(value=found.mean, low=found.low, high=found.high, n=n, method="wilson")


def one(task: str, dataset: str, network: str, view: str, value: float, **changes: Any) -> Result:
    values: dict[str, Any] = {
        "metrics": {"top1": share(value), "top5": share(min(1.0, value + 0.1))},
        "split": "test",
        "n": N,
        "parameters": {"k": 20, "temperature": 0.07},
        "preprocessing": {"rule": "grid", "max_pixels": 262144, "interpolation": "bicubic"},
        "hashes": {"network": "a" * 32, "split": "b" * 32},
        "per_class": {f"class {i}": round(i / 40, 3) for i in range(40)},
    }
    return Result(task=task, dataset=dataset, network=network, view=view, **(values | changes))


def results(text: str = "") -> list[Result]:
    """Two tasks on two data sets with teachers, sanity rows and a second size; ``text`` is in every name."""
    made = []
    for task, base in (("knn", 0.7), ("zero_shot", 0.6)):
        for dataset, more in (("cub", 0.0), ("dtd", 0.07)):
            d = f"{dataset}{text}"
            made += [
                one(task, d, f"student{text}", f"siglip2{text}", base + more, n_failed=3),
                one(task, d, f"student{text}", f"dinov3{text}", base + more + 0.02),
                one(task, d, f"siglip2{text}", f"siglip2{text}", base + more + 0.04, hashes={"network": "t" * 32}),
                one(task, d, f"untrained{text}", f"siglip2{text}", 0.05, hashes={"network": "u" * 32}),
                one(task, d, "", "", 0.005, sanity="chance", per_class={}),
                one(task, d, f"student{text}", f"siglip2{text}", 0.006, sanity="permuted_labels", per_class={}),
            ]
            large = {"rule": "grid", "max_pixels": 768 * 768}
            for view, value in (("siglip2", 0.1), ("dinov3", base + more + 0.03)):
                made.append(one(task, d, f"student-768{text}", f"{view}{text}", value, preprocessing=large))
    return made


def table(text: str = "", count: int = 600) -> pa.Table:
    """Samples of one series over 30 clusters' images."""
    rng = np.random.default_rng(0)
    made = samples(
        (rng.random(count) < 0.7).astype(float), predicted=f"a wren{text}", label=f"a robin{text}", score=0.5
    )
    at = made.schema.get_field_index("image_id")
    return made.set_column(at, made.schema.field(at), [[f"{i:032x}" for i in range(count)]])


def losses() -> pa.Table:
    rng = np.random.default_rng(1)
    rows = [(c, 100 * w, 100 * w + 99, 50, float(rng.random() / (w + 1))) for c in range(30) for w in range(3)]
    arrays = [pa.array(column, f.type) for column, f in zip(zip(*rows, strict=True), CLUSTER_LOSS, strict=True)]
    return pa.table(arrays, schema=CLUSTER_LOSS)


def checks(made: list[Result]) -> Gate:
    return gate(made, rules=Rules(retention=0.9))


def page(text: str = "", **changes: Any) -> str:
    """A page with everything on it; ``text`` is in all that others may have written."""
    made = results(text)
    own = table(text)
    clusters = {f"{i:032x}": i % 30 for i in range(590)}
    values: dict[str, Any] = {
        "title": f"run 7{text}",
        "date": "2026-03-14",
        "gate": checks(made),
        "clusters": {KEY: by_cluster(own, clusters, losses())},
        "worst": {KEY: own},
        "image": lambda image_id: image(int(image_id, 16)),
        "notes": [f"retrieval on cub by student: no sample has a caption{text}"],
        "limits": [f"More that is not known{text}."],
    }
    return html(made, **(values | changes))
