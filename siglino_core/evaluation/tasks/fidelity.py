"""What a student keeps of its teachers on images that it was not taught: each head beside the teacher of its name.

It asks for no label.

Legend: N samples, D width.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.encoders.spec import DINOTXT
from siglino_core.errors import DataError
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.fidelity import Fidelity, fidelity
from siglino_core.evaluation.network.viewed import MEAN
from siglino_core.evaluation.results.result import CONSTANT, Metric
from siglino_core.evaluation.tasks.question import Answer, Question, metric
from siglino_core.models.encoder import STUDENT
from siglino_core.statistics.bootstrap import mean_interval

COSINE, EXPLAINED = "cosine", "explained_variance"


def of_teachers(question: Question) -> Iterator[Answer]:
    """The mean cosine of every head whose teacher is evaluated beside it, and the variance that it explains.

    A network that is no student has no teachers: of it there is nothing to say.
    """
    if STUDENT not in question.views:
        if Task.FIDELITY in question.tasks:
            question.note(Task.FIDELITY, "it is no student, so that it has no teachers")
        return
    heads = [view for view in question.views if view not in (STUDENT, MEAN, DINOTXT)]
    alone = [view for view in heads if view not in question.teachers]
    if alone:
        why = f"no network named {' or '.join(alone)}, as its head is, is evaluated beside it (evaluate.models)"
        (question.note if question.teachers else question.skip)(Task.FIDELITY, why)
    for view, teacher in question.teachers.items():
        yield from _of_view(question, view, teacher)


def _of_view(question: Question, view: str, teacher: Features) -> Iterator[Answer]:
    """Samples that either could not read have a cosine of 0; the explained variance is of the others."""
    test = question.test
    place = {sample: row for row, sample in enumerate(teacher.sample_ids)}
    kept = [row for row, sample in enumerate(test.sample_ids) if sample in place]
    if len(kept) < 2:
        return question.skip(Task.FIDELITY, f"fewer than two images were read by it and by {teacher.network}")
    student_ND = test.summaries[view][kept]
    teacher_ND = teacher.summaries[view][[place[test.sample_ids[row]] for row in kept]]
    try:
        found = fidelity(student_ND, teacher_ND)
    except DataError as e:
        return question.skip(Task.FIDELITY, f"{view}: {e}")
    lost = [sample for sample in (*test.sample_ids, *test.failed) if sample not in place or sample in test.failed]
    told = {
        "n": len(kept) + len(lost),
        "n_failed": len(lost),
        "teacher": teacher.network,
        "teacher_network": teacher.hashes.get("network", ""),
        "teacher_preprocessing": teacher.preprocessing,
    }
    result = question.result(Task.FIDELITY, view, _metrics(question, found, len(lost)), **told)
    yield Answer(result=result, rows=_rows(test, view, kept, found, lost))
    mean_ND = np.broadcast_to(student_ND.mean(0, dtype=np.float64), student_ND.shape)
    blind = _metrics(question, fidelity(mean_ND, teacher_ND), len(lost))
    yield Answer(result=question.result(Task.FIDELITY, view, blind, sanity=CONSTANT, **told))


def _metrics(question: Question, found: Fidelity, lost: int) -> dict[str, Metric]:
    cosine_N = np.concatenate([found.cosine_N, np.zeros(lost)])
    cosine = metric(mean_interval(cosine_N, seed=question.seed), "bootstrap")
    return {COSINE: cosine, EXPLAINED: Metric(value=found.explained, n=len(found.cosine_N))}


def _rows(test: Features, view: str, kept: list[int], found: Fidelity, lost: list[str]) -> list[dict[str, Any]]:
    images = dict(zip(test.sample_ids, test.image_ids, strict=True))
    cosines = dict(zip((test.sample_ids[row] for row in kept), found.cosine_N.tolist(), strict=True))
    base = {"network": test.network, "view": view, "metric": COSINE}
    return [
        {**base, "sample_id": sample, "image_id": images.get(sample, ""), "correct": cosines.get(sample, 0.0)}
        for sample in (*cosines, *lost)
    ]
