"""Segmentation of frozen patches: by a linear head, and by the nearest patches of the train split."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from siglino_core.config import Probing, Task
from siglino_core.errors import DataError
from siglino_core.evaluation.results.result import CHANCE, Metric
from siglino_core.evaluation.segmentation.dense import Dense
from siglino_core.evaluation.segmentation.iou import IGNORE, Counts
from siglino_core.evaluation.segmentation.joined import Joined
from siglino_core.evaluation.segmentation.linear import QUICK, STRICT, fit
from siglino_core.evaluation.segmentation.patch_retrieval import Memory, PatchRetrieval
from siglino_core.evaluation.tasks.ensembles import CONCAT
from siglino_core.evaluation.tasks.question import Answer, Question, metric
from siglino_core.statistics.bootstrap import mean_iou, statistic_interval

IMAGE_IOU = "image_iou"  # of samples: their mean is not the data set's mean IoU, so it has a name of its own


def segmentation(question: Question) -> Iterator[Answer]:
    """A linear head on each view; passes over views without patches, and says so."""
    if (classes := _classes(question, Task.SEGMENTATION)) is None:
        return
    for view, train, test, told in _views(question, Task.SEGMENTATION):
        protocol = STRICT if question.settings.segmentation is Probing.STRICT else QUICK
        probe = fit(train, num_classes=len(classes), protocol=protocol, seed=question.seed, device=question.device)
        counts = probe.measure(test)
        yield _answer(question, Task.SEGMENTATION, view, test.names, counts, classes, **probe.describe(), **told)
    yield _commonest(question, Task.SEGMENTATION, classes)


def patch_retrieval(question: Question) -> Iterator[Answer]:
    """The labels of the nearest patches, for each view."""
    if (classes := _classes(question, Task.PATCH_RETRIEVAL)) is None:
        return
    for view, train, test, told in _views(question, Task.PATCH_RETRIEVAL):
        memory = Memory.of(train, num_classes=len(classes), seed=question.seed, device=question.device)
        nearest = PatchRetrieval(memory=memory)
        counts = nearest.measure(test)
        yield _answer(question, Task.PATCH_RETRIEVAL, view, test.names, counts, classes, **nearest.describe(), **told)
    yield _commonest(question, Task.PATCH_RETRIEVAL, classes)


@dataclass(frozen=True, eq=False)
class _Named:
    """A split that tells which images it gave: those that have a mask.

    Attributes:
        names: of the last time that it was read.
    """

    split: Dense
    names: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        self.names.clear()
        for sample in self.split:
            self.names.append(sample[0])
            yield sample


def _views(question: Question, task: Task) -> Iterator[tuple[str, Dense, _Named, dict[str, Any]]]:
    """Each view's train and test patches; of a student also both heads' as one."""
    train, test = question.patches["train"], question.patches["test"]
    told = question.tell_copies(task)
    for view in train:
        yield view, train[view], _Named(test[view]), told
    if (heads := question.heads) and set(heads) <= train.keys():
        a, b = heads
        yield CONCAT, Joined(train[a], train[b]), _Named(Joined(test[a], test[b])), {"heads": [a, b], **told}


def _classes(question: Question, task: Task) -> list[str] | None:
    """The class names, if there are features of patches and masks for both splits.

    Raises:
        DataError: masks without class names.
    """
    if not question.patches.get("test"):
        return question.skip(task, "it has no features of patches")
    if not question.patches.get("train"):
        return question.skip(task, "there is no train split with masks")
    for which in ("test", "train"):
        if next(iter(next(iter(question.patches[which].values()))), None) is None:
            return question.skip(task, f"no {which} image has a mask")
    if not question.classes:
        raise DataError(f"{question.test.dataset}: masks need class names; give them as a file (classes) or a recipe")
    if failed := len(question.test.failed):
        question.note(task, f"{failed} images that could not be read have no pixels to count as wrong")
    return list(question.classes)


def _answer(
    question: Question,
    task: Task,
    view: str,
    names: list[str],
    counts: Counts,
    classes: list[str],
    sanity: str = "",
    **parameters: Any,
) -> Answer:
    rows_NV = np.concatenate([counts.intersections_NC, counts.unions_NC], axis=1).astype(np.float64)
    interval = statistic_interval(rows_NV, mean_iou, seed=question.seed)
    n, features = len(counts), question.test
    metrics = {
        "mean_iou": metric(interval, "bootstrap by image", n),
        "pixel_accuracy": Metric(value=counts.pixel_accuracy(), n=n),
        "mean_accuracy": Metric(value=counts.mean_accuracy(), n=n),
    }
    per_class = {name: value for name, value in zip(classes, counts.iou_C().tolist(), strict=True) if value == value}
    failed = len(features.failed)
    told = {**parameters, "unlabelled": len(features) - n}
    result = question.result(
        task,
        view,
        metrics,
        n=n + failed,
        n_failed=failed,
        sanity=sanity,
        per_class={} if sanity else per_class,
        **told,
    )
    images = dict(zip(features.sample_ids, features.image_ids, strict=True))
    base = {"network": features.network, "view": view, "metric": IMAGE_IOU}
    rows = [
        {**base, "sample_id": name, "image_id": images[name], "correct": value}
        for name, value in zip(names, _of_images(counts), strict=True)
        if value == value
    ]
    return Answer(result=result, rows=[] if sanity else rows)


def _of_images(counts: Counts) -> list[float]:
    """Each image's own mean IoU over the classes that it has; NaN without any."""
    unions_NC = counts.unions_NC.astype(np.float64)
    there_NC = unions_NC > 0
    iou_NC = np.divide(counts.intersections_NC, unions_NC, out=np.zeros_like(unions_NC), where=there_NC)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (iou_NC.sum(1) / there_NC.sum(1)).tolist()


def _commonest(question: Question, task: Task, classes: list[str]) -> Answer:
    """What a network without eyes would reach: the commonest class of the train split everywhere."""
    view, train = next(iter(question.patches["train"].items()))
    pixels_C = np.zeros(len(classes), np.int64)
    for _, _, mask_HW in train:
        pixels_C += np.bincount(mask_HW[mask_HW != IGNORE].ravel(), minlength=len(classes))[: len(classes)]
    test = _Named(question.patches["test"][view])
    counts = Counts.joined(_flat(test, int(pixels_C.argmax()), len(classes)))
    return _answer(question, task, view, test.names, counts, classes, sanity=CHANCE)


def _flat(split: Dense, number: int, classes: int) -> Iterator[Counts]:
    for _, _, mask_HW in split:
        yield Counts.of(np.full_like(mask_HW, number), mask_HW, classes)
