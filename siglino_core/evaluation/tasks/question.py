"""What a task is asked, and what it answers: one network on one data set."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from siglino_core.config import EvaluateConfig, Task
from siglino_core.encoders.spec import DINOTXT
from siglino_core.errors import DataError
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.network.viewed import MEAN
from siglino_core.evaluation.results.result import Metric, Result
from siglino_core.evaluation.segmentation.dense import Dense
from siglino_core.evaluation.tasks.towers import Texts
from siglino_core.models.encoder import STUDENT
from siglino_core.statistics.interval import Interval


def plainly(classes: Sequence[str]) -> list[str]:
    """Class names as a text has them, with spaces for underscores."""
    return [" ".join(name.replace("_", " ").split()) or name for name in classes]


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One network on one data set.

    Attributes:
        train: what is learned from; None: the test samples, each left out in its turn.
        classes: names in the order of their numbers; empty: those of the labels.
        spoken: the classes as texts name them, one each; two may be spoken of alike.
        templates: texts for class names; empty: open_clip's of ImageNet.
        texts: the text side of each view that has one.
        teachers: the test samples of the teacher of each view that has one evaluated beside it.
        patches: features of patches by split, then by view; empty: none are stored.
        tasks: what is asked for; empty: all that is possible and cheap.
        by_class: tasks whose official metric weighs each class alike.
        limit: samples a split at most; 0: all. A result of a part says so.
        passed: is told what was passed over, and why.
        told: what every result says among its parameters.
    """

    test: Features
    train: Features | None
    classes: Sequence[str]
    templates: Sequence[str]
    texts: Mapping[str, Texts]
    patches: Mapping[str, Mapping[str, Dense]]
    tasks: Sequence[Task]
    limit: int
    settings: EvaluateConfig
    seed: int
    passed: list[str]
    spoken: Callable[[Sequence[str]], Sequence[str]] = plainly
    device: str = "cpu"
    told: Mapping[str, Any] = field(default_factory=dict)
    by_class: Collection[Task] = ()
    teachers: Mapping[str, Features] = field(default_factory=dict)

    @property
    def views(self) -> list[str]:
        return list(self.test.summaries)

    @property
    def heads(self) -> tuple[str, str] | None:
        """The two views that an ensemble joins: a student's first two heads, if it has two.

        What dino.txt makes of a head beside it is no head.
        """
        heads = [view for view in self.views if view not in (STUDENT, MEAN, DINOTXT)]
        return (heads[0], heads[1]) if STUDENT in self.views and len(heads) > 1 else None

    @property
    def text_heads(self) -> tuple[str, str] | None:
        """The two views with texts that an ensemble joins; of a student's head and dino.txt on it, dino.txt."""
        views = list(self.texts)
        return (views[0], views[1]) if STUDENT in self.views and len(views) > 1 else None

    def tell_copies(self, task: Task) -> dict[str, int]:
        """How many test images are, byte by byte, also learned from, as a parameter and a note; empty: none.

        They count all the same: whose data sets have them compares with others who left them in.
        """
        counts = Counter(self.test.image_ids)
        if self.train is None:
            copies, where = sum(n for n in counts.values() if n > 1), "several times in the test split"
        else:
            copies = sum(counts[image] for image in counts.keys() & set(self.train.image_ids))
            where = "in its train split too"
        if not copies:
            return {}
        of = f"{copies} of {len(self.test)} test images are {where}"
        self.note(task, f"{of}, byte by byte, so that they find themselves: they count all the same")
        return {"copies": copies}

    def skip(self, task: Task, why: str) -> None:
        """Note that a task is passed over.

        Raises:
            DataError: it was asked for by name.
        """
        if task in self.tasks:
            mend = f"Leave {task.value} out of this data set's tasks, or give what it needs"
            raise DataError(f"{self._said(task, why)}. {mend}.")
        self.note(task, why)

    def note(self, task: Task, why: str) -> None:
        """Note what of a task could not be had; the rest of it stands."""
        self.passed.append(self._said(task, why))

    def _said(self, task: Task, why: str) -> str:
        return f"{task.value.replace('_', ' ')} on {self.test.dataset} by {self.test.network}: {why}"

    def result(
        self,
        task: Task,
        view: str,
        metrics: Mapping[str, Metric],
        *,
        n: int,
        n_failed: int = 0,
        sanity: str = "",
        per_class: Mapping[str, float] | None = None,
        **parameters: Any,
    ) -> Result:
        """A result with what is the same for all of this question's."""
        limit = {"limit": self.limit} if self.limit else {}
        return Result(
            task=task.value,
            dataset=self.test.dataset,
            split=self.test.split,
            network=self.test.network,
            view=view,
            n=n,
            n_failed=n_failed,
            sanity=sanity,
            metrics=metrics,
            parameters={**parameters, **self.told, **limit},
            preprocessing=self.test.preprocessing,
            hashes=self.test.hashes,
            per_class=per_class or {},
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Answer:
    """A result, and what each sample says: rows of `siglino_core.evaluation.results.columns.SAMPLES`."""

    result: Result
    rows: Sequence[Mapping[str, Any]] = field(default_factory=list)


def metric(interval: Interval, method: str, n: int | None = None) -> Metric:
    """An interval as a metric."""
    n = interval.n if n is None else n
    return Metric(value=interval.mean, low=interval.low, high=interval.high, n=n, method=method)
