"""What classification reaches without looking: the rows that say what its numbers are worth.

Legend: N samples, C classes.
"""

from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.results.result import CHANCE, MAJORITY, Metric
from siglino_core.evaluation.sanity import chance
from siglino_core.evaluation.tasks.judged import answer, official
from siglino_core.evaluation.tasks.labelled import Split
from siglino_core.evaluation.tasks.question import Answer, Question


def majority(question: Question, task: Task, split: Split) -> Answer:
    """What knows the train labels can name the commonest of them for every sample."""
    counts_C = np.bincount(split.learned.ids, minlength=len(split.classes)).astype(np.float64)
    scores_NC = np.tile(counts_C, (len(split.asked.ids), 1))
    uniform, commonest = _of(split)
    n = split.asked.count
    more = {"top1 (uniform)": Metric(value=uniform, n=n), MAJORITY: Metric(value=commonest, n=n)}
    return answer(question, task, question.views[0], split, scores_NC, more=more, sanity=CHANCE)


def uniform(question: Question, task: Task, split: Split) -> Answer:
    """What knows class names alone can guess: each class is as likely as the others."""
    share, commonest = _of(split)
    n, c = split.asked.count, len(split.classes)
    metrics = {"top1": Metric(value=share, n=n)}
    if c >= 5:
        metrics["top5"] = Metric(value=5 * share, n=n)
    metrics |= {"mean_recall": Metric(value=share, n=n), MAJORITY: Metric(value=commonest, n=n)}
    told: dict[str, Any] = {"classes": c, "unlabelled": split.asked.unlabelled}
    failed = len(split.asked.failed)
    metrics = official(metrics, task in question.by_class)
    result = question.result(task, question.views[0], metrics, n=n, n_failed=failed, sanity=CHANCE, **told)
    return Answer(result=result)


def _of(split: Split) -> tuple[float, float]:
    """Of a uniform guess, and of whoever knows the commonest class of those that are asked."""
    failed = np.array(list(split.asked.failed.values()), np.int64)
    found = chance(np.concatenate([split.asked.ids, failed]), len(split.classes))
    return found.uniform, found.majority
