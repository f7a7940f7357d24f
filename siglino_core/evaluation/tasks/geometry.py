"""How features lie in their space, whatever the labels say: directions in use, patches beside their summary, experts.

Nothing here is better when it is higher: a collapse shows in the curve of a training, and between networks.

Legend: N samples, D width, L mixture layers, K kinds of tokens, E experts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from siglino_core.config import Task
from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import unit
from siglino_core.evaluation.expert_load import KINDS, expert_load
from siglino_core.evaluation.patch_profile import patch_profile
from siglino_core.evaluation.rank_me import rank_me
from siglino_core.evaluation.results.result import CONSTANT, Metric
from siglino_core.evaluation.sanity import constant
from siglino_core.evaluation.segmentation.dense import Dense
from siglino_core.evaluation.tasks.question import Answer, Question
from siglino_core.hashing import key_of
from siglino_core.models.encoder import STUDENT

MOST = 25_600  # samples of a rank, as in RankMe's paper
RANK = "rank_share"


def geometry(question: Question) -> Iterator[Answer]:
    """The rank of every view's summaries, the profile of its patches where they are stored, a student's experts."""
    count = len(question.test)
    if not count:
        return question.skip(Task.GEOMETRY, "no image could be read")
    failed = len(question.test.failed)
    n = count + failed  # each metric tells how many of them it is of
    rows = np.arange(count)
    if count > MOST:
        rows = np.sort(np.random.default_rng(key_of(question.seed, "rank")).permutation(count)[:MOST])
    patches = question.patches.get("test", {})
    for view in question.views:
        summaries_ND = question.test.summaries[view]
        metrics, told = _rank(summaries_ND[rows])
        if view in patches:
            more, told_of_patches = _profile(question, view, patches[view], summaries_ND)
            metrics, told = metrics | more, told | told_of_patches
        if view == STUDENT and question.test.experts is not None:
            more, told_of_experts = _experts(question.test.experts)
            metrics, told = metrics | more, told | told_of_experts
        yield Answer(result=question.result(Task.GEOMETRY, view, metrics, n=n, n_failed=failed, **told))
    view = question.views[0]
    metrics, told = _rank(constant(question.test.summaries[view][rows]))
    result = question.result(Task.GEOMETRY, view, metrics, n=n, n_failed=failed, sanity=CONSTANT, **told)
    yield Answer(result=result)


def _rank(summaries_ND: np.ndarray) -> tuple[dict[str, Metric], dict[str, Any]]:
    """RankMe of summaries of length 1, as a share of the highest that there can be."""
    value, most = rank_me(unit(summaries_ND)), min(summaries_ND.shape)
    return {RANK: Metric(value=value / most, n=len(summaries_ND))}, {"rank_me": value, "highest_rank": most}


def _profile(
    question: Question, view: str, patches: Dense, summaries_ND: np.ndarray
) -> tuple[dict[str, Metric], dict[str, Any]]:
    """Mean cosines and the variance within images; nothing of a view whose patches lie in another space."""
    rows = {name: i for i, name in enumerate(question.test.sample_ids)}
    try:
        found = patch_profile((patches_hwD, summaries_ND[rows[name]]) for name, patches_hwD, _ in patches)
    except DataError as e:
        question.note(Task.GEOMETRY, f"no profile of the patches of {view}: {e}")
        return {}, {}
    values = {name: getattr(found, name) for name in ("to_summary", "to_one_another", "within_images")}
    metrics = {name: Metric(value=value, n=found.images) for name, value in values.items() if value == value}
    quantiles = {str(share): value for share, value in found.to_summary_quantiles.items()}
    return metrics, {"patches": found.patches, "to_summary_quantiles": quantiles}


def _experts(counts_LKE: np.ndarray) -> tuple[dict[str, Metric], dict[str, Any]]:
    """How evenly experts are loaded: 1 is even, 0 one expert for all; by layer and kind of token, and the unused."""
    load = expert_load(counts_LKE)
    even = {kind: _plain(load.entropy_LK[:, number]) for number, kind in enumerate(KINDS)}
    known = [value for value in even["patch"] if value is not None]
    metrics = {"expert_entropy": Metric(value=float(np.mean(known)), n=len(known))} if known else {}
    return metrics, {"expert_entropy_by_layer": even, "unused_experts_by_layer": load.unused_L.tolist()}


def _plain(values_L: np.ndarray) -> list[float | None]:
    return [None if value != value else value for value in values_L.tolist()]
