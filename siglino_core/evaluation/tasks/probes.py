"""Classification by a linear probe: logistic or ridge regression, for every view."""

from collections.abc import Iterator

from siglino_core.config import Task
from siglino_core.evaluation.probe import Probe, logistic_probe, ridge_probe
from siglino_core.evaluation.tasks.chance import majority
from siglino_core.evaluation.tasks.judged import answer
from siglino_core.evaluation.tasks.labelled import split_of
from siglino_core.evaluation.tasks.question import Answer, Question


def probes(question: Question, task: Task) -> Iterator[Answer]:
    """Needs a train split.

    Args:
        task: which of the two.
    """
    split = split_of(question, task)
    if split is None:
        return
    if split.bank is None or question.train is None:
        return question.skip(task, "there is no train split to learn from")
    fit = logistic_probe if task is Task.LOGISTIC else ridge_probe
    for view in question.views:
        found: Probe = fit(
            question.train.summaries[view][split.bank.rows],
            split.bank.ids,
            question.test.summaries[view][split.asked.rows],
            num_classes=len(split.classes),
            seed=question.seed,
        )
        told = {"strength": found.strength, "held_out": found.held_out, "converged": found.converged}
        yield answer(question, task, view, split, found.scores_NC, **told)
    yield majority(question, task, split)
