"""The labelled samples of a question: those that are asked about, and those that are learned from.

Legend: M samples with a label.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.data.label_ids import class_order, label_ids
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.tasks.question import Question


@dataclass(frozen=True, kw_only=True, eq=False)
class Labelled:
    """The samples of a split that have a label.

    Attributes:
        rows: where they stand among the features, int64 [M].
        ids: their class numbers, int64 [M].
        failed: class numbers of labelled samples that could not be read, by sample.
        unlabelled: how many have none.
    """

    rows: np.ndarray
    ids: np.ndarray
    failed: Mapping[str, int]
    unlabelled: int

    @property
    def count(self) -> int:
        """All that have a label, those that could not be read among them."""
        return len(self.ids) + len(self.failed)

    def only(self, kept_M: np.ndarray) -> "Labelled":
        """Some of them."""
        return Labelled(rows=self.rows[kept_M], ids=self.ids[kept_M], failed=self.failed, unlabelled=self.unlabelled)


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """The labelled samples of a question.

    Attributes:
        asked: of the test split.
        bank: those that are learned from; None: the asked themselves, each left out in its turn.
        single: asked samples that are left out, since no other sample has their label.
        told: what every result says besides.
    """

    classes: list[str]
    asked: Labelled
    bank: Labelled | None
    single: int = 0
    told: Mapping[str, int] = field(default_factory=dict)

    @property
    def learned(self) -> Labelled:
        """What labels are learned from."""
        return self.asked if self.bank is None else self.bank


def split_of(question: Question, task: Task, *, learns: bool = True) -> Split | None:
    """The labelled samples; None: there is nothing to ask, and the question has been told why.

    Args:
        learns: the task learns from labels; where there is no train split, of the test split.

    Raises:
        DataError: a label that is no class, or the task was asked for by name and there are no labels.
    """
    classes = _classes(question)
    if not classes:
        return question.skip(task, "no sample has a label")
    asked = labelled(question.test, classes)
    if not len(asked.rows) + len(asked.failed):
        return question.skip(task, "no test sample has a label")
    if not learns:
        return Split(classes=classes, asked=asked, bank=None)
    if question.train is not None:
        bank = labelled(question.train, classes)
        if not len(bank.rows):
            return question.skip(task, "no train sample has a label")
        return Split(classes=classes, asked=asked, bank=bank, told=question.tell_copies(task))
    counts_C = np.bincount(asked.ids, minlength=len(classes))
    several_M = counts_C[asked.ids] > 1
    if not several_M.any():
        return question.skip(task, "there is no train split, and no two test samples have one label")
    single = int((~several_M).sum())
    told = question.tell_copies(task)
    return Split(classes=classes, asked=asked.only(several_M), bank=None, single=single, told=told)


def labelled(features: Features, classes: list[str]) -> Labelled:
    """The samples with a label, by class number.

    Raises:
        DataError: a label that is no class.
    """
    rows = np.array([i for i, label in enumerate(features.labels) if label is not None], np.int64)
    names = [label for label in features.labels if label is not None]
    failed = {sample: label for sample, (label, _) in features.failed.items() if label is not None}
    unread = label_ids(list(failed.values()), classes)
    return Labelled(
        rows=rows,
        ids=label_ids(names, classes),
        failed=dict(zip(failed, unread.tolist(), strict=True)),
        unlabelled=len(features) + len(features.failed) - len(rows) - len(failed),
    )


def _classes(question: Question) -> list[str]:
    """The class names as given, and those that labels have beside them; empty: there are none.

    A split knows its own labels alone. What a recipe or a file of classes does not know was refused when it was read.
    """
    found: list[str | None] = []
    for features in (question.test, question.train):
        if features is None:
            continue
        found += [*features.labels, *(label for label, _ in features.failed.values())]
    known = set(question.classes)
    return [*question.classes, *class_order(label for label in found if label not in known)]
