"""What an evaluation says: a metric with its interval, and a result, which is one row of every table.

One schema for every task. A result holds no time and no path, so that the same features give the same bytes.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

CHANCE, PERMUTED, CONSTANT, SHUFFLED = "chance", "permuted_labels", "constant_features", "shuffled_text"
MAJORITY = "top1 (majority)"  # of a row of chance: the share of the commonest class
ABOVE = "above_best_baseline"  # of grounding: the headline less that of the best row that is not the model's answer
SANITY = (CHANCE, PERMUTED, CONSTANT, SHUFFLED)  # rows that say what a number is worth


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A number, and how sure it is.

    Attributes:
        low, high: of the 95% interval; None: the method has none.
        n: what it is a mean over: images, captions, pixels.
        method: of the interval, such as ``wilson`` or ``bootstrap, clustered by image``; empty: none.
    """

    value: float
    low: float | None = None
    high: float | None = None
    n: int
    method: str = ""


@dataclass(frozen=True, kw_only=True)
class Result:
    """One task on one data set's split by one view of one network.

    Attributes:
        network: its name in the evaluation, such as ``student``.
        view: which of its features: a head's name, ``siglino`` for a student's own, or an ensemble's.
        n: samples that count; those that could not be read count as wrong and are among them.
        n_failed: how many could not be read.
        sanity: which sanity row this is, one of ``SANITY``; empty: a result proper.
        metrics: by name, the headline first; shares of 1, not percent.
        parameters: what the metric was asked for (k, temperature, templates, ...).
        preprocessing: how images became pixels.
        hashes: of the network, the split and the features.
        per_class: a class's own share, where the task has classes.
    """

    task: str
    dataset: str
    split: str
    network: str
    view: str
    n: int
    n_failed: int = 0
    sanity: str = ""
    metrics: Mapping[str, Metric]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    per_class: Mapping[str, float] = field(default_factory=dict)

    @property
    def headline(self) -> tuple[str, Metric]:
        """The first metric, by which tables compare."""
        return next(iter(self.metrics.items()))

    def to_dict(self) -> dict[str, Any]:
        """As plain values; :meth:`read` takes them back."""
        return dataclasses.asdict(self)

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """From plain values."""
        metrics = {name: Metric(**values) for name, values in stored["metrics"].items()}
        return cls(**{**stored, "metrics": metrics})
