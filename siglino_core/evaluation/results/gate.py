"""The gate: has a network become worse, and do the rows hold that say what its numbers are worth.

By default a change is a regression where it is a sure one (two-sided p < 0.05 after Holm over all that is compared) and
a drop of more than is allowed. So a run that changed nothing passes 19 times in 20 at least, however much is compared,
and each check says how small a drop it would find. ``strict`` asks the other question: is it shown that nothing dropped
by more than is allowed; few samples cannot show that.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from siglino_core.evaluation.results.compare import Comparison, Pair
from siglino_core.evaluation.results.invariants import Check, grounded, partials, retained, sanity, switches
from siglino_core.evaluation.results.result import Result
from siglino_core.evaluation.results.rows import AT, UNTRAINED, View, points, span
from siglino_core.statistics.proportion import quantile

SURE, POWER = 0.05, 0.8
USUAL = quantile(1 - SURE / 2) + quantile(POWER)  # standard errors in what one comparison alone would find


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What passes.

    Attributes:
        allowed: drop of any metric that is no regression, a share of 1.
        by_metric: the same for single metrics.
        strict: the whole 95% interval must lie above the allowed drop.
        retention: the least share of its teacher's value that a view has; None: not checked.
        switch: drop from one size to a larger one that is no switch of modes.
    """

    allowed: float = 0.005
    by_metric: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False
    retention: float | None = None
    switch: float = 0.02


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The checks, in order."""

    checks: Sequence[Check]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def exit_code(self) -> int:
        """0: passed; 1: not."""
        return 0 if self.passed else 1


def gate(
    results: Sequence[Result],
    comparison: Comparison | None = None,
    *,
    rules: Rules | None = None,
    teachers: Mapping[View, View] | None = None,
) -> Gate:
    """The checks of an evaluation, and of its comparison with a baseline.

    What the baseline has and the evaluation lacks, what could not be compared, a partial result and no result at all do
    not pass: they hide what the gate is there to find.

    Args:
        comparison: the baseline first, the evaluation second.
        teachers: as `leaderboard.leaderboard` takes them.
    """
    rules = rules or Rules()
    checks = [*partials(results)]
    if not results:
        checks.append(Check(name="whole", passed=False, words="there are no results"))
    if comparison is not None:
        checks += _regressions(comparison, rules)
    checks += [*sanity(results), *grounded(results), *switches(results, rules.switch)]
    if rules.retention is not None:
        checks += retained(results, rules.retention, teachers)
    return Gate(checks=checks)


def _regressions(comparison: Comparison, rules: Rules) -> Iterator[Check]:
    if not comparison.pairs:
        yield Check(name="regression", passed=False, words="nothing could be compared with the baseline")
    if unknown := sorted(rules.by_metric.keys() - {pair.key.metric for pair in comparison.pairs}):
        metrics = ", ".join(sorted({pair.key.metric for pair in comparison.pairs})) or "none"
        words = (
            f"a drop of {', '.join(unknown)} is allowed, but nothing of that name is compared; compared are {metrics}"
        )
        yield Check(name="regression", passed=False, words=words)
    for key in comparison.only_first:
        yield Check(name=f"regression: {key}", passed=False, words="the baseline has it, this evaluation does not")
    for refused in comparison.refused:
        yield Check(name=f"regression: {refused.key}", passed=False, words=f"not compared: {refused.why}")
    for pair in comparison.pairs:
        if pair.key.network.partition(AT)[0] == UNTRAINED:
            continue  # what random weights do is no one's regression: another seed changes it
        allowed = rules.by_metric.get(pair.key.metric, rules.allowed)
        judge = _strict if rules.strict else _sure
        passed, verdict = judge(pair, allowed)
        if not pair.asked_alike:
            yield Check(name=f"regression: {pair.key}", passed=False, words=f"not the same question: {pair.remark}")
            continue
        words = f"{_change(pair)}: {verdict}{_detectable(pair, allowed, len(comparison.pairs))}"
        yield Check(name=f"regression: {pair.key}", passed=passed, words=words)


def _sure(pair: Pair, allowed: float) -> tuple[bool, str]:
    if pair.difference < -allowed and pair.p_holm < SURE:
        return False, f"a sure drop, of more than the {points(allowed)} allowed"
    if pair.difference < -allowed:
        return True, "a drop that may be chance"
    return True, f"no drop of more than the {points(allowed)} allowed"


def _strict(pair: Pair, allowed: float) -> tuple[bool, str]:
    if pair.low is not None and pair.low >= -allowed:
        return True, f"shown to be no drop of more than the {points(allowed)} allowed"
    return False, f"not shown to be no drop of more than the {points(allowed)} allowed"


def _change(pair: Pair) -> str:
    between = span(pair.low, pair.high, signed=True)
    interval = f" ({between})" if between else ""
    return (
        f"{points(pair.first)} to {points(pair.second)}, {points(pair.difference, signed=True)} points{interval}, "
        f"p {pair.p_holm:.2g}, n = {pair.n:,}"
    )


def _detectable(pair: Pair, allowed: float, pairs: int) -> str:
    """The smallest drop that the default rule finds 4 times in 5, whatever else is compared."""
    if pair.detectable is None:
        return ""
    error = pair.detectable / USUAL
    found = max((quantile(1 - SURE / 2 / pairs) + quantile(POWER)) * error, allowed + quantile(POWER) * error)
    return f"; a drop of {points(found)} would be found 4 times in 5"
