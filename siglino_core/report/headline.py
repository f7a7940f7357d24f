"""The one sentence over the page: what was kept, and whether it is better balanced than a simple baseline."""

import math
from dataclasses import dataclass
from typing import Literal

from siglino_core.report.learning import sentence
from siglino_core.report.measures import as_counts, random_counts
from siglino_core.report.model import Balance, BalanceRow, CurationReport, Interval, Metric
from siglino_core.report.numbers import decimals, number, percent
from siglino_core.report.words import clean
from siglino_core.statistics.diversity import effective_number

Outcome = Literal["better", "unclear", "worse", "unknown"]
HEADLINES: dict[Outcome, str] = {
    "better": "Better balanced than every baseline",
    "unclear": "No clear gain over the best baseline",
    "worse": "Not better than the baseline",
    "unknown": "Balance against a baseline was not measured",
}


@dataclass(frozen=True, kw_only=True)
class Headline:
    outcome: Outcome
    title: str
    sentence: str


def judge(balance: Balance) -> tuple[Outcome, Metric, BalanceRow, BalanceRow, BalanceRow] | None:
    """Ours against the strongest baseline on the first metric that has a direction.

    Returns:
        (outcome, metric, ours, strongest baseline, first baseline), or None where nothing can be compared. Better
        and worse need intervals that do not overlap, or a worse mean without any interval; else it is unclear.
    """
    metric = next((m for m in balance.metrics if m.better), None)
    if metric is None:
        return None
    measured = [r for r in balance.rows if metric.key in r.values and math.isfinite(r.values[metric.key].mean)]
    ours = next((r for r in measured if r.role == "ours"), None)
    others = [r for r in measured if r.role == "baseline"]
    if ours is None or not others:
        return None
    sign = -1.0 if metric.better == "lower" else 1.0
    best = max(others, key=lambda r: sign * r.values[metric.key].mean)
    a, b = ours.values[metric.key], best.values[metric.key]
    gain = sign * (a.mean - b.mean)
    if gain <= 0:
        return "worse", metric, ours, best, others[0]
    apart = (a.low is not None or b.low is not None) and (_low(a, sign) > _high(b, sign))
    return ("better" if apart else "unclear"), metric, ours, best, others[0]


def _low(value: Interval, sign: float) -> float:
    ends = (value.low if value.low is not None else value.mean, value.high if value.high is not None else value.mean)
    return min(sign * e for e in ends)


def _high(value: Interval, sign: float) -> float:
    return -_low(value, -sign)


def headline(report: CurationReport) -> Headline:
    """The headline in words; it says so plainly where ours is not better."""
    kept = f"{report.funnel.kept:,} of {report.funnel.pool:,} images kept"
    judged = judge(report.balance) if report.balance else None
    if judged is None:
        said = f"{kept}{_clusters(report)}. {_why(report)}{_taught(report)}"
        return Headline(outcome="unknown", title=HEADLINES["unknown"], sentence=said)
    outcome, metric, ours, best, first = judged
    title = clean(metric.title, 60)

    def say(row: BalanceRow) -> str:
        return _say(report.balance, metric, row)

    best_name, first_name = clean(best.name, 60), clean(first.name, 60)
    move = f"{title} {say(first)} → {say(ours)} ({first_name} → ours)"
    if outcome == "worse":
        also = "" if first is best else f", and {say(first)} for “{first_name}”"
        tail = (
            f"but {title} is {say(ours)} against {say(best)} for “{best_name}”{also}: this recipe does not help here."
        )
    elif outcome == "unclear":
        single = all(r.values[metric.key].low is None for r in (ours, best))
        why = "one draw of each cannot tell it from chance" if single else "their 95% intervals overlap"
        tail = f"{move}, but the gain over “{best_name}” ({say(best)}) is not clear: {why}."
    else:
        ahead = "" if first is best else f", ahead of “{best_name}” ({say(best)})"
        tail = f"{move}{ahead}."
    costs = _costs(report.balance, metric, ours, best)
    price = f" {'Worse too' if outcome == 'worse' else 'The price'}: {', '.join(costs)}." if costs else ""
    caveat = ("" if report.labels else " The pool has no labels.") + _taught(report)
    return Headline(outcome=outcome, title=HEADLINES[outcome], sentence=f"{kept}; {tail}{price}{caveat}")


def _say(balance: Balance | None, metric: Metric, row: BalanceRow) -> str:
    """A mean with the digits that its column in the table has."""
    mean = row.values[metric.key].mean
    column = [r.values[metric.key].mean for r in balance.rows if metric.key in r.values] if balance else [mean]
    return percent(mean) if metric.share else number(mean, decimals(column))


def _costs(balance: Balance | None, judged: Metric, ours: BalanceRow, best: BalanceRow) -> list[str]:
    """What else became clearly worse than in the strongest baseline, in words."""
    costs = []
    for metric in balance.metrics if balance else ():
        if metric is judged or not metric.better or metric.key not in ours.values or metric.key not in best.values:
            continue
        sign = -1.0 if metric.better == "lower" else 1.0
        a, b = ours.values[metric.key], best.values[metric.key]
        if _high(a, sign) < _low(b, sign):
            title = clean(metric.title, 60)
            costs.append(f"{title} {_say(balance, metric, ours)} against {_say(balance, metric, best)}")
    return costs


def _taught(report: CurationReport) -> str:
    """What is learned from it, where that was measured."""
    return f" {sentence(report.learning.difference['probe']).capitalize()}." if report.learning else ""


def _clusters(report: CurationReport) -> str:
    if not report.levels:
        return ""
    level = report.levels[0]
    size = int(as_counts(level.kept).sum())
    before, after = effective_number(random_counts(level.pool, size)), effective_number(level.kept)
    return (
        f"; effective level-{level.level} clusters {number(float(f'{before:.3g}'))} → {number(float(f'{after:.3g}'))} "
        "(a random sample of the same size → ours)"
    )


def _why(report: CurationReport) -> str:
    if report.labels is None:
        return "The pool has no labels, so balance by meaning is not known."
    return "No baseline was measured."
