"""From scores of classes to an answer: shares with intervals, and what each sample said.

Legend: N samples, C classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.classification import Classified, classified
from siglino_core.evaluation.ensemble import oracle_of_two
from siglino_core.evaluation.results.result import PERMUTED, Metric
from siglino_core.evaluation.tasks.ensembles import ORACLE
from siglino_core.evaluation.tasks.labelled import Split
from siglino_core.evaluation.tasks.question import Answer, Question, metric
from siglino_core.statistics.bootstrap import mean_interval
from siglino_core.statistics.mean_recall import mean_recall_interval
from siglino_core.statistics.proportion import wilson


def answer(
    question: Question,
    task: Task,
    view: str,
    split: Split,
    scores_NC: np.ndarray,
    *,
    more: Mapping[str, Metric] | None = None,
    sanity: str = "",
    **parameters: Any,
) -> Answer:
    """A result with its samples; labelled samples that could not be read count as wrong.

    Args:
        scores_NC: of the samples that are asked about; the highest is the answer.
        more: further metrics.
        sanity: which sanity row it is; these have no samples.
    """
    asked, failed = split.asked, list(split.asked.failed.values())
    judged = classified(scores_NC, asked.ids, failed=failed)
    permuted = sanity == PERMUTED and len(judged.correct_N) > 0
    metrics = {"top1": permuted_share(split, judged, question.seed) if permuted else share(judged.correct_N, judged.n)}
    if judged.top5_N is not None:
        metrics["top5"] = share(judged.top5_N, judged.n)
    metrics["mean_recall"] = _mean_recall(split, judged)
    parameters |= {"classes": len(split.classes), "unlabelled": asked.unlabelled, "single": split.single, **split.told}
    by_class = {c: float(r) for c, r in zip(split.classes, judged.recall_C, strict=True) if r == r}
    result = question.result(
        task,
        view,
        official({**metrics, **(more or {})}, task in question.by_class),
        n=judged.n,
        n_failed=len(failed),
        sanity=sanity,
        per_class={} if sanity else by_class,
        **parameters,
    )
    return Answer(result=result, rows=[] if sanity else _rows(question, view, split, scores_NC, judged))


def official(metrics: dict[str, Metric], by_class: bool) -> dict[str, Metric]:
    """The metrics, the one that tables show first: the share of samples, or each class as heavy as the others."""
    return {"mean_recall": metrics["mean_recall"], **metrics} if by_class else metrics


def top1(split: Split, scores_NC: np.ndarray) -> Metric:
    """The share of samples whose class was named."""
    judged = classified(scores_NC, split.asked.ids, failed=list(split.asked.failed.values()))
    return share(judged.correct_N, judged.n)


def oracle(split: Split, a_NC: np.ndarray, b_NC: np.ndarray) -> dict[str, Metric]:
    """The share that either of two heads names alone."""
    ids_N = split.asked.ids
    correct_N = oracle_of_two(a_NC, b_NC, ids_N) if len(ids_N) else np.zeros(0, bool)
    return {ORACLE: share(correct_N, split.asked.count)}


def share(correct_N: np.ndarray, n: int) -> Metric:
    """A share of ``n``."""
    return metric(wilson(int(correct_N.sum()), n), "wilson")


def permuted_share(split: Split, judged: Classified, seed: int) -> Metric:
    """The share with permuted labels; its interval is by class, whose samples share neighbours and so err together."""
    correct, classes = _all(split, judged)
    return metric(mean_interval(correct, classes, seed=seed), "bootstrap, clustered by class", judged.n)


def _mean_recall(split: Split, judged: Classified) -> Metric:
    """The mean over classes, each as heavy as the others."""
    return metric(mean_recall_interval(*_all(split, judged)), "wilson, by class")


def _all(split: Split, judged: Classified) -> tuple[np.ndarray, np.ndarray]:
    """Whether each sample is correct, and its class; those that could not be read come last."""
    failed = list(split.asked.failed.values())
    correct = np.concatenate([judged.correct_N, np.zeros(len(failed), bool)])
    return correct, np.concatenate([split.asked.ids, np.array(failed, np.int64)])


def _rows(question: Question, view: str, split: Split, scores_NC: np.ndarray, judged: Classified) -> list[dict]:
    features, asked = question.test, split.asked
    base = {"network": features.network, "view": view, "metric": "top1"}
    rows = [
        {
            **base,
            "sample_id": features.sample_ids[row],
            "image_id": features.image_ids[row],
            "correct": float(judged.correct_N[j]),
            "score": float(scores_NC[j, judged.predictions_N[j]]),
            "predicted": split.classes[int(judged.predictions_N[j])],
            "label": split.classes[int(asked.ids[j])],
        }
        for j, row in enumerate(asked.rows.tolist())
    ]
    for sample, number in asked.failed.items():
        rows.append({**base, "sample_id": sample, "image_id": "", "correct": 0.0, "label": split.classes[number]})
    return rows
