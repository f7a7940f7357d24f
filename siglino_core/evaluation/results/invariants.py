"""What must hold in any evaluation: it is whole, sanity rows are at chance, no size breaks it, views keep their share.

Of grounding another rule holds than of sanity rows: a model that sees the image beats a box that never changes,
whatever text it is asked with. So the model itself must be better than whatever does not know the text.

Each check allows for what it is not sure of, so that chance alone fails it seldom.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from siglino_core.evaluation.results.curves import curves
from siglino_core.evaluation.results.result import ABOVE, CHANCE, CONSTANT, MAJORITY, PERMUTED, SHUFFLED, Metric, Result
from siglino_core.evaluation.results.rows import (
    GROUNDED,
    GROUNDING,
    LIMIT,
    UNTRAINED,
    View,
    graded,
    is_partial,
    points,
    proper,
    said,
    span,
    teachers_of,
)
from siglino_core.report.evaluation_words import SANITY_WORDS
from siglino_core.statistics.proportion import quantile

SURE = 0.025  # one-sided
Z = quantile(1 - SURE)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check.

    Attributes:
        words: what was found, in a sentence.
        skipped: there was nothing to judge it by.
    """

    name: str
    passed: bool
    words: str
    skipped: bool = False


def partials(results: Sequence[Result]) -> Iterator[Check]:
    """Results over a part of their split, one check each that does not pass."""
    for r in results:
        if is_partial(r):
            words = f"partial: {LIMIT}={r.parameters[LIMIT]}; a gate judges whole data sets alone"
            yield Check(name=f"whole: {_named(r)}", passed=False, words=words)


def sanity(results: Sequence[Result]) -> Iterator[Check]:
    """Permuted labels and shuffled text are no better than chance, or than what constant features get.

    Their lower bounds are widened for how many they are (Bonferroni). Grounding has :func:`grounded` instead.
    """
    judged = [r for r in results if r.sanity in (PERMUTED, SHUFFLED) and r.task not in GROUNDING]
    for r in judged:
        name = f"{SANITY_WORDS[r.sanity]}: {_named(r)}"
        metric_name, metric = r.headline
        ceiling = _ceiling(results, r, metric_name)
        if ceiling is None:
            yield Check(name=name, passed=True, skipped=True, words="there is no row of chance to judge it by")
            continue
        low = metric.value - _below(metric) * quantile(1 - SURE / len(judged)) / Z
        passed = low <= ceiling
        verdict = "no better than chance" if passed else "better than chance: something tells the answers"
        yield Check(name=name, passed=passed, words=f"{said(metric)} against {points(ceiling)}: {verdict}")


def grounded(results: Sequence[Result]) -> Iterator[Check]:
    """A grounding model is above its best baseline: what never changes, and its own answers to other images' texts."""
    for r in proper(results):
        if r.task not in GROUNDING or r.network != GROUNDED:
            continue
        name, above = f"baselines: {_named(r)}", r.metrics.get(ABOVE)
        if above is None:
            yield Check(name=name, passed=True, skipped=True, words="there is no baseline to judge it by")
            continue
        passed = above.low is not None and above.low > 0
        by = f"{points(above.value, signed=True)} points"
        between = span(above.low, above.high, signed=True) or "no interval"
        verdict = "above its best baseline" if passed else "not shown to be above its best baseline"
        words = f"{said(r.headline[1])}, {by} ({between}; {above.method}): {verdict}"
        yield Check(name=name, passed=passed, words=words)


def switches(results: Sequence[Result], allowed: float) -> Iterator[Check]:
    """From each size of images to the next larger one no view drops by more than is allowed, beyond both intervals."""
    for curve in curves(graded(results)):
        for (small, before), (large, after) in zip(curve.points, curve.points[1:], strict=False):
            a, b = before.headline[1], after.headline[1]
            unsure = (_below(a) ** 2 + _above(b) ** 2) ** 0.5
            passed = b.value + unsure >= a.value - allowed
            verdict = "no switch of modes" if passed else f"a drop of more than the {points(allowed)} allowed"
            name = f"size {small} to {large}: {curve.task} on {curve.dataset}, {curve.name} {curve.view}"
            yield Check(name=name, passed=passed, words=f"{said(a)} to {said(b)}: {verdict}")


def retained(results: Sequence[Result], share: float, teachers: Mapping[View, View] | None = None) -> Iterator[Check]:
    """Each view that has a teacher keeps ``share`` of its value, by the upper end of its interval, but untrained ones.

    Args:
        teachers: as `leaderboard.leaderboard` takes them.
    """
    taught = teachers_of(results) if teachers is None else teachers
    own = graded(results)
    values = {(r.network, r.view, r.task, r.dataset, r.split, r.headline[0]): r.headline[1] for r in own}
    for r in own:
        teacher = taught.get((r.network, r.view))
        if teacher is None or r.network == UNTRAINED:
            continue
        name, metric = f"retention: {_named(r)}", r.headline[1]
        base = values.get((*teacher, r.task, r.dataset, r.split, r.headline[0]))
        if base is None or base.value <= 0:
            yield Check(name=name, passed=True, skipped=True, words=f"{' '.join(teacher)} has no value to keep")
            continue
        passed = metric.value + _above(metric) >= share * base.value
        kept = points(metric.value / base.value)
        words = f"{said(metric)} is {kept}% of {points(base.value)}, {points(share)}% is asked"
        yield Check(name=name, passed=passed, words=words)


def _ceiling(results: Sequence[Result], of: Result, metric: str) -> float | None:
    """What is no better than chance: the highest of chance and constant features, where there are any.

    Whatever answers the commonest class for all is right on its share, however labels are permuted.
    """
    names = (metric, MAJORITY) if metric == "top1" else (metric,)
    place = (of.task, of.dataset, of.split)
    found = [
        r.metrics[name].value
        for r in results
        for name in names
        if r.sanity in (CHANCE, CONSTANT) and (r.task, r.dataset, r.split) == place and name in r.metrics
    ]
    return max(found, default=None)


def _below(metric: Metric) -> float:
    return metric.value - metric.low if metric.low is not None else 0.0


def _above(metric: Metric) -> float:
    return metric.high - metric.value if metric.high is not None else 0.0


def _named(r: Result) -> str:
    network = f", {r.network} {r.view}".rstrip() if r.network or r.view else ""
    return f"{r.task} on {r.dataset} {r.split}{network}"
