"""Two evaluations compared sample by sample: differences with intervals, and p-values that know how many they are.

Legend: N samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from siglino_core.evaluation.results.folder import Evaluation
from siglino_core.evaluation.results.matching import Key, Matched, Refused, matched, missing
from siglino_core.statistics.bootstrap import DRAWS
from siglino_core.statistics.paired import detectable_paired, holm, mcnemar, paired_difference
from siglino_core.store import Files

MCNEMAR, BOOTSTRAP = "McNemar, exact", "paired bootstrap"
SAME = "no answer differs"
LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The second evaluation against the first.

    Attributes:
        first, second: the means.
        n: samples.
        groups: how many groups they are in; equal to n where each is its own.
        difference: second - first; with its 95% interval, None with fewer than two groups.
        p: two-sided, of no difference; ``p_holm`` the same corrected for all pairs of the comparison.
        detectable: the smallest true difference that would be found 4 times in 5 (alone); None where nothing differs.
        method: of p.
        remark, asked_alike: as `matching.Matched` has them.
    """

    key: Key
    first: float
    second: float
    n: int
    groups: int
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float = 1.0
    detectable: float | None
    method: str
    remark: str = ""
    asked_alike: bool = True


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that two evaluations have in common, what of it could not be compared, and what only one of them has."""

    first: str
    second: str
    pairs: Sequence[Pair]
    refused: Sequence[Refused] = ()
    only_first: Sequence[Key] = ()
    only_second: Sequence[Key] = ()


def compare_folders(first: Files, second: Files, *, seed: int = 0) -> Comparison:
    """:func:`compare` of evaluations in folders.

    Raises:
        DataError: a folder is none of an evaluation, or a file of it is not what was written.
    """
    return compare(Evaluation.open(first), Evaluation.open(second), seed=seed)


def compare(first: Evaluation, second: Evaluation, *, seed: int = 0) -> Comparison:
    """Every series of samples that both have, in the order of their keys.

    p is McNemar's where answers are right or wrong and independent, else a paired bootstrap's of whole groups.
    """
    found = list(matched(first, second))
    series = [m for m in found if isinstance(m, Matched)]
    # A bootstrap's p is at least 1 / draws, which Holm multiplies by the number of pairs: draw enough to find anything.
    draws = max(DRAWS, 40 * len(series))
    pairs = [_pair(m, draws, seed) for m in series]
    corrected = holm({str(i): pair.p for i, pair in enumerate(pairs)})
    only_first, only_second = missing(first, second)
    return Comparison(
        first=first.name,
        second=second.name,
        pairs=[replace(pair, p_holm=corrected[str(i)]) for i, pair in enumerate(pairs)],
        refused=[m for m in found if isinstance(m, Refused)],
        only_first=only_first,
        only_second=only_second,
    )


def _pair(m: Matched, draws: int, seed: int) -> Pair:
    groups = len(m.first) if m.groups is None else int(m.groups.max()) + 1
    found = paired_difference(m.first, m.second, m.groups, draws=draws, seed=seed)
    low, high, p, method, detectable = found.low, found.high, found.p, BOOTSTRAP, None
    if (m.first == m.second).all():
        # Drawing again what never differs says nothing: the interval is that of 0 of so many (Clopper, Pearson 1934).
        bound = 1 - ((1 - LEVEL) / 2) ** (1 / groups)
        low, high, p, method = -bound, bound, 1.0, SAME
    else:
        detectable = detectable_paired(m.second - m.first, m.groups)
        if m.groups is None and all(np.isin(values, (0, 1)).all() for values in (m.first, m.second)):
            p, method = mcnemar(m.first == 1, m.second == 1), MCNEMAR
        elif m.groups is not None:
            method = f"{BOOTSTRAP}, by group"
    return Pair(
        key=m.key,
        first=float(m.first.mean()),
        second=float(m.second.mean()),
        n=len(m.first),
        groups=groups,
        difference=found.difference,
        low=low,
        high=high,
        p=p,
        detectable=detectable if detectable is not None and np.isfinite(detectable) else None,
        method=method,
        remark=m.remark,
        asked_alike=m.asked_alike,
    )
