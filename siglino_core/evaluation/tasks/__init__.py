"""Tasks: from the features of one network on one data set to results with intervals and samples."""

from collections.abc import Iterator, Sequence

from siglino_core.config import Task
from siglino_core.evaluation.tasks.fidelity import of_teachers
from siglino_core.evaluation.tasks.geometry import geometry
from siglino_core.evaluation.tasks.knn import knn
from siglino_core.evaluation.tasks.probes import probes
from siglino_core.evaluation.tasks.question import Answer, Question, plainly
from siglino_core.evaluation.tasks.retrieval import retrieval
from siglino_core.evaluation.tasks.segmentation import patch_retrieval, segmentation
from siglino_core.evaluation.tasks.zero_shot import zero_shot

__all__ = ["Answer", "Question", "answers", "asked", "plainly"]

DENSE = (Task.SEGMENTATION, Task.PATCH_RETRIEVAL, Task.GEOMETRY)
WHOLE = (
    Task.KNN,
    Task.ZERO_SHOT,
    Task.RETRIEVAL,
    Task.FIDELITY,
    Task.GEOMETRY,
)  # probes are dear: asked for by name alone


def asked(named: Sequence[Task], *, dense: bool) -> Sequence[Task]:
    """The tasks that are named; where none is, those that a data set of whole images or of masks may allow."""
    return named or (DENSE if dense else WHOLE)


def answers(question: Question) -> Iterator[Answer]:
    """All tasks that are asked for; of a data set that asks for none, those that it allows.

    Raises:
        ConfigError: a text side cannot be had.
        DataError: a task that is asked for by name cannot be done, or labels are no classes.
    """
    for task in asked(question.tasks, dense=bool(question.patches)):
        match task:
            case Task.KNN:
                yield from knn(question)
            case Task.LOGISTIC | Task.RIDGE:
                yield from probes(question, task)
            case Task.ZERO_SHOT:
                yield from zero_shot(question)
            case Task.RETRIEVAL:
                yield from retrieval(question)
            case Task.SEGMENTATION:
                yield from segmentation(question)
            case Task.PATCH_RETRIEVAL:
                yield from patch_retrieval(question)
            case Task.FIDELITY:
                yield from of_teachers(question)
            case Task.GEOMETRY:
                yield from geometry(question)
