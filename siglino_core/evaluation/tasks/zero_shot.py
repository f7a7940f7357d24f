"""Classification by texts: every view that has a text side, what two heads say together, and sanity rows.

Legend: N samples, C classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.calibrated import calibrate, mix
from siglino_core.evaluation.calibration import calibration_error, cross_calibrated
from siglino_core.evaluation.ensemble import average, ensemble
from siglino_core.evaluation.hold_out import held_out
from siglino_core.evaluation.results.result import PERMUTED, Metric
from siglino_core.evaluation.sanity import permuted
from siglino_core.evaluation.tasks.chance import uniform
from siglino_core.evaluation.tasks.ensembles import AVERAGE, CALIBRATED, SIGLINO
from siglino_core.evaluation.tasks.judged import answer, oracle
from siglino_core.evaluation.tasks.labelled import Split, labelled, split_of
from siglino_core.evaluation.tasks.question import Answer, Question
from siglino_core.evaluation.zero_shot import class_vectors, duplicates, imagenet_templates, zero_shot_scores

FITTED = 1000  # samples, about, that a temperature is fitted to


def zero_shot(question: Question) -> Iterator[Answer]:
    """Top-1 of the nearest class text."""
    split = split_of(question, Task.ZERO_SHOT, learns=False)
    if split is None:
        return
    if not question.texts:
        return question.skip(Task.ZERO_SHOT, "no view has a text side")
    templates = list(question.templates or imagenet_templates())
    names = list(question.spoken(split.classes))
    if all(name.isdigit() for name in names):
        why = f"its classes are called by numbers, as in {templates[0].replace('{}', names[-1])!r}"
        question.note(Task.ZERO_SHOT, f"{why}. If these are no names, give a file of names (classes)")
    told = {"templates": templates, "classes_of_one_name": sum(len(n) - 1 for n in duplicates(names).values())}
    vectors, scores = {}, {}
    for view, texts in question.texts.items():
        vectors[view] = class_vectors(texts.features, names, templates, allow_duplicates=True)
        scores[view] = zero_shot_scores(question.test.summaries[view][split.asked.rows], vectors[view])
        yield _answer(question, view, split, scores[view], **texts.told, **told)
    if heads := question.text_heads:
        yield from _together(question, split, scores, vectors, *heads, **told)
    yield from _sanity(question, split, *next(iter(scores.items())))


def _together(
    question: Question,
    split: Split,
    scores: Mapping[str, np.ndarray],
    vectors: Mapping[str, np.ndarray],
    a: str,
    b: str,
    **told: Any,
) -> Iterator[Answer]:
    """Two heads: SigLino's form on raw cosines, their mean, and calibrated on train samples where there are any.

    One vector of both heads has the mean's cosines, so that it needs no row of its own.
    """
    pair, told = (scores[a], scores[b]), {"heads": [a, b], **told}
    yield _answer(question, SIGLINO, split, ensemble(*pair), more=oracle(split, *pair), **told)
    yield _answer(question, AVERAGE, split, average(*pair), **told)
    if question.train is None or not len((bank := labelled(question.train, split.classes)).rows):
        return question.note(Task.ZERO_SHOT, f"no {CALIBRATED}: there is no train split to fit its temperatures to")
    # Some of each class: the first so many of a folder would be of one.
    some = bank.only(held_out(bank.ids, share=FITTED / len(bank.ids), seed=question.seed))
    some = some if len(bank.ids) > FITTED and len(some.rows) else bank
    on_a, on_b = (zero_shot_scores(question.train.summaries[v][some.rows], vectors[v]) for v in (a, b))
    fitted = calibrate(on_a, on_b, some.ids)
    mixed_NC = mix(*pair, fitted)
    more = {"calibration_error": _error(mixed_NC, split.asked.ids)} if len(mixed_NC) else {}
    told["calibration"] = vars(fitted)
    yield answer(question, Task.ZERO_SHOT, CALIBRATED, split, mixed_NC, more=more, **told)


def _answer(
    question: Question,
    view: str,
    split: Split,
    scores_NC: np.ndarray,
    more: Mapping[str, Metric] | None = None,
    **told: Any,
) -> Answer:
    """With the calibration error of scores as probabilities: each half is judged by the temperature of the other."""
    found = dict(more or {})
    if len(scores_NC) > 1:
        ids_N = split.asked.ids
        log_NC, temperatures = cross_calibrated(scores_NC, ids_N, seed=question.seed, most=FITTED)
        found["calibration_error"] = _error(log_NC, ids_N)
        told["temperatures"] = list(temperatures)
    return answer(question, Task.ZERO_SHOT, view, split, scores_NC, more=found, **told)


def _error(log_NC: np.ndarray, ids_N: np.ndarray) -> Metric:
    """Of the samples that could be read: what was not has no confidence."""
    return Metric(value=calibration_error(log_NC, ids_N), n=len(ids_N))


def _sanity(question: Question, split: Split, view: str, scores_NC: np.ndarray) -> Iterator[Answer]:
    others = replace(split.asked, ids=permuted(split.asked.ids, question.seed))
    yield answer(question, Task.ZERO_SHOT, view, replace(split, asked=others), scores_NC, sanity=PERMUTED)
    yield uniform(question, Task.ZERO_SHOT, split)
