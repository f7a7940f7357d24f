"""Questions made for tests: a student or another network on a few images of known geometry."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from siglino_core.config import EvaluateConfig
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.tasks import Answer, Question
from siglino_core.evaluation.tasks.towers import Texts

WIDTHS = {"siglino": 12, "siglino_mean": 12, "siglip2": 8, "dinov3": 10}


def cluster(ids: Sequence[int], width: int, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Rows that lie by their class's axis, fp32 [N, D], of other lengths than 1."""
    rng = np.random.default_rng([seed, width])
    rows = np.eye(width)[np.asarray(ids, int)] + noise * rng.standard_normal((len(ids), width))
    return (rows * rng.uniform(0.5, 2, (len(ids), 1))).astype(np.float32)


def features(
    labels: Sequence[str | None],
    summaries: Mapping[str, np.ndarray] | None = None,
    captions: Sequence[tuple[str, ...]] | None = None,
    split: str = "test",
    noise: float = 0.0,
    seed: int = 0,
    **more: Any,
) -> Features:
    """Samples; by default a student's, that lie by the axis of their class (a, b, c, ... or none)."""
    n = len(labels)
    if summaries is None:
        ids = [ord(label) - ord("a") if label else 0 for label in labels]
        summaries = {view: cluster(ids, width, noise, seed) for view, width in WIDTHS.items()}
    values = {
        "network": "student",
        "dataset": "made",
        "split": split,
        "sample_ids": [f"{split}{i}" for i in range(n)],
        "image_ids": [f"{split}-image{i}" for i in range(n)],
        "labels": list(labels),
        "captions": list(captions) if captions is not None else [()] * n,
        "summaries": summaries,
        "preprocessing": {"rule": "grid", "min_pixels": 1, "max_pixels": 4},
        "hashes": {"network": "n", "split": "s", "features": "f"},
    }
    return Features(**(values | more))


def texts_of(vector: Callable[[str], Sequence[float]]) -> Texts:
    """A text side by a function of one text."""
    return Texts(
        spec="siglip2:/secret/folder",
        cleaning="lower",
        features=lambda ts: np.array([vector(t) for t in ts], np.float32),
    )


def axis(width: int) -> Texts:
    """A text side that says the axis of the class that a text ends with."""
    return texts_of(lambda text: np.eye(width)[ord(text[-1]) - ord("a")].tolist())


def question(test: Features, train: Features | None = None, **more: Any) -> Question:
    """By default without texts and patches, with classes from labels, and two neighbours."""
    values: dict[str, Any] = {
        "test": test,
        "train": train,
        "classes": (),
        "templates": ("a {}", "the {}"),
        "texts": {},
        "patches": {},
        "tasks": (),
        "limit": 0,
        "settings": EvaluateConfig(k=[2, 1]),
        "seed": 0,
        "passed": [],
    }
    return Question(**(values | more))


def by_view(answers: Iterable[Answer]) -> dict[tuple[str, str], Result]:
    """Results by view and sanity row, each once."""
    found: dict[tuple[str, str], Result] = {}
    for answer in answers:
        key = answer.result.view, answer.result.sanity
        assert key not in found
        found[key] = answer.result
    return found


def check_samples(answers: Iterable[Answer]) -> int:
    """That the mean of what samples count is the metric's value, wherever a metric has samples; how many it has."""
    checked = 0
    for answer in answers:
        if answer.result.sanity:
            assert not answer.rows
        for name in {row["metric"] for row in answer.rows} & answer.result.metrics.keys():
            rows = [row for row in answer.rows if row["metric"] == name]
            metric = answer.result.metrics[name]
            assert len({row["sample_id"] for row in rows}) == len(rows) == metric.n
            assert sum(row["correct"] for row in rows) / metric.n == metric.value
            assert all((row["network"], row["view"]) == (answer.result.network, answer.result.view) for row in rows)
            checked += 1
    return checked
