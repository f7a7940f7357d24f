"""Classification by the nearest training samples: every view, what two heads say together, and sanity rows.

Legend: N test samples, M train samples, D width, C classes.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.evaluation.calibrated import calibrate, mix, vote_logits
from siglino_core.evaluation.ensemble import concat, ensemble_votes
from siglino_core.evaluation.hold_out import held_out
from siglino_core.evaluation.knn import votes
from siglino_core.evaluation.neighbours import Neighbours, nearest
from siglino_core.evaluation.results.result import CONSTANT, PERMUTED
from siglino_core.evaluation.sanity import constant, permuted
from siglino_core.evaluation.tasks.chance import majority
from siglino_core.evaluation.tasks.ensembles import CALIBRATED, CONCAT, SIGLINO
from siglino_core.evaluation.tasks.judged import answer, oracle, top1
from siglino_core.evaluation.tasks.labelled import Split, split_of
from siglino_core.evaluation.tasks.question import Answer, Question

HELD = 0.05  # of the train split, by which an ensemble's temperatures are fitted


def knn(question: Question) -> Iterator[Answer]:
    """Top-1 of the headline's k, with the others beside it."""
    split = split_of(question, Task.KNN)
    if split is None:
        return
    _tell_few(question, split)
    for view in question.views:
        yield _of_view(question, split, view, _bank(question, split, view), _asked(question, split, view))
    if question.heads:
        yield from _together(question, split, *question.heads)
    yield from _sanity(question, split)


def _tell_few(question: Question, split: Split) -> None:
    """Say so where most samples have fewer than k others of their class, and none but the test samples vote.

    The k nearest then cannot be of the right class alone, and the class that a sample is left out of has one vote fewer
    than the rest: features that tell little apart score below chance.
    """
    if split.bank is not None:
        return
    k, ids_M = question.settings.k[0], split.asked.ids
    few = int((np.bincount(ids_M)[ids_M] <= k).sum())
    if 2 * few > len(ids_M):
        why = f"{few} of {len(ids_M)} test images have fewer than k = {k} others of their class"
        mend = "Set train, or a smaller evaluate.k"
        question.note(Task.KNN, f"{why}, so that weak features are below chance, each left out in its turn. {mend}")


def _asked(question: Question, split: Split, view: str) -> np.ndarray:
    return question.test.summaries[view][split.asked.rows]


def _bank(question: Question, split: Split, view: str) -> np.ndarray | None:
    """Features that are learned from; None: the asked themselves."""
    if split.bank is None or question.train is None:
        return None
    return question.train.summaries[view][split.bank.rows]


def _nearest(question: Question, bank_MD: np.ndarray | None, asked_ND: np.ndarray) -> Neighbours:
    most = max(question.settings.k)
    alone = bank_MD is None
    return nearest(asked_ND if bank_MD is None else bank_MD, asked_ND, most, skip_self=alone, device=question.device)


def _votes(question: Question, split: Split, found: Neighbours, k: int, ids_M: np.ndarray | None = None) -> np.ndarray:
    ids_M = split.learned.ids if ids_M is None else ids_M
    return votes(found, ids_M, k, temperature=question.settings.temperature, num_classes=len(split.classes))


def _of_view(
    question: Question, split: Split, view: str, bank_MD: np.ndarray | None, asked_ND: np.ndarray, **parameters: Any
) -> Answer:
    found = _nearest(question, bank_MD, asked_ND)
    first, *others = question.settings.k
    more = {f"top1 (k={k})": top1(split, _votes(question, split, found, k)) for k in others}
    scores_NC = _votes(question, split, found, first)
    return answer(question, Task.KNN, view, split, scores_NC, more=more, **_told(question, split, found), **parameters)


def _told(question: Question, split: Split, found: Neighbours) -> dict[str, Any]:
    k = min(question.settings.k[0], found.rows_NK.shape[1])
    learned = "each left out in its turn" if split.bank is None else f"{len(split.bank.ids)} train samples"
    return {"k": k, "temperature": question.settings.temperature, "learned_from": learned}


def _together(question: Question, split: Split, a: str, b: str) -> Iterator[Answer]:
    """Two heads: their votes by the released form, calibrated, and one space of both."""
    k = question.settings.k[0]
    banks = {view: _bank(question, split, view) for view in (a, b)}
    asked = {view: _asked(question, split, view) for view in (a, b)}
    found = {view: _nearest(question, banks[view], asked[view]) for view in (a, b)}
    both = _votes(question, split, found[a], k), _votes(question, split, found[b], k)
    told = {"heads": [a, b], **_told(question, split, found[a])}
    yield answer(question, Task.KNN, SIGLINO, split, ensemble_votes(*both), more=oracle(split, *both), **told)
    bank_a, bank_b = banks[a], banks[b]
    if bank_a is None or bank_b is None:
        question.note(Task.KNN, f"no {CALIBRATED}: there is no train split to fit its temperatures to")
    else:
        yield from _calibrated(question, split, (bank_a, bank_b), both, told)
    joined = concat(asked[a], asked[b])
    bank = None if bank_a is None or bank_b is None else concat(bank_a, bank_b)
    yield _of_view(question, split, CONCAT, bank, joined, heads=[a, b], alpha=0.5)


def _calibrated(
    question: Question,
    split: Split,
    banks: tuple[np.ndarray, np.ndarray],
    both: tuple[np.ndarray, np.ndarray],
    told: dict[str, Any],
) -> Iterator[Answer]:
    """Temperatures are fitted to train samples that the others vote on."""
    k, ids_M = question.settings.k[0], split.learned.ids
    held_M = held_out(ids_M, share=HELD, seed=question.seed)
    if not held_M.any():
        return question.note(Task.KNN, f"no {CALIBRATED}: no class has two train samples, one to hold out")
    on_held = []
    for bank_MD in banks:
        rest = _nearest(question, bank_MD[~held_M], bank_MD[held_M])
        on_held.append(vote_logits(_votes(question, split, rest, k, ids_M[~held_M])))
    fitted = calibrate(on_held[0], on_held[1], ids_M[held_M])
    mixed_NC = mix(vote_logits(both[0]), vote_logits(both[1]), fitted)
    yield answer(question, Task.KNN, CALIBRATED, split, mixed_NC, **told, calibration=vars(fitted))


def _sanity(question: Question, split: Split) -> Iterator[Answer]:
    view, k = question.views[0], question.settings.k[0]
    bank_MD, asked_ND = _bank(question, split, view), _asked(question, split, view)
    found = _nearest(question, bank_MD, asked_ND)
    told = _told(question, split, found)
    others_NC = _votes(question, split, found, k, permuted(split.learned.ids, question.seed))
    yield answer(question, Task.KNN, view, split, others_NC, sanity=PERMUTED, **told)
    blind = _nearest(question, None if bank_MD is None else constant(bank_MD), constant(asked_ND))
    yield answer(question, Task.KNN, view, split, _votes(question, split, blind, k), sanity=CONSTANT, **told)
    yield majority(question, Task.KNN, split)
