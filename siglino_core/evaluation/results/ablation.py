"""A grid of trainings as a table: each arm against the baseline, paired by seed, and what that shows of the paper."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from siglino_core.errors import DataError
from siglino_core.statistics.seeds import OverSeeds, over_seeds

UP, DOWN = "up", "down"  # the paper's direction where it has no number
SHOWS, OPPOSITE = "shows the paper's direction", "shows the opposite"
HIGHER, LOWER = "higher than the baseline", "lower than the baseline"  # where the paper says nothing
UNSURE, ALONE, BASELINE = "cannot tell at this size", "cannot tell: no two seeds to compare", "the baseline"
UNMEASURED, FAILED, WAITING = "not measured", "failed", "not finished"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number that arms are compared by.

    Attributes:
        unit, scale: values as stored times ``scale`` are in ``unit``: points are hundredths of a share.
        paper: by arm, the published difference to the baseline in that unit, or ``up`` or ``down``.
    """

    name: str
    title: str = ""
    unit: str = "points"
    scale: float = 100.0
    paper: Mapping[str, float | str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of one training, or why there is none.

    Attributes:
        metric: the measure's name; empty in a row that only says why the training has none.
        value: as stored; None where there is none.
        low, high: the evaluation's own 95% interval: how far another test set of this kind might differ.
        n: what it is a mean over; 0: unknown.
        state: empty, ``not measured``, ``not finished`` or ``failed``, with ``why``.
        seconds: by the clock, of what finished the training's stages.
        settings: what the arm changes.
        digest: of the training's artifact.
    """

    arm: str
    seed: int
    metric: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    state: str = ""
    why: str = ""
    seconds: float = 0.0
    settings: Sequence[str] = ()
    digest: str = ""


@dataclass(frozen=True, kw_only=True)
class Line:
    """One arm by one measure, in the measure's unit.

    Attributes:
        mean: over its seeds; None: it has none.
        seeds: how many it has.
        over: of the differences to the baseline, paired by seed; None: of the baseline, or without a pair.
        sampling: half of the evaluation's own interval, the mean over seeds; None where it has none.
        paper: the published difference, or ``up`` or ``down``; None: there is none.
        why: what else must be said: seeds that failed or were not measured.
    """

    arm: str
    metric: str
    mean: float | None
    seeds: int
    over: OverSeeds | None
    sampling: float | None
    paper: float | str | None
    verdict: str
    why: str = ""


def lines(rows: Iterable[Row], measures: Sequence[Measure], arms: Sequence[str], baseline: str) -> list[Line]:
    """The table: a measure after the other, the baseline first.

    Args:
        arms: in their order; the baseline is one of them.

    Raises:
        DataError: a number is there twice.
    """
    rows = list(rows)
    order = [baseline, *(arm for arm in arms if arm != baseline)]
    return [_line(measure, arm, rows, baseline) for measure in measures for arm in order]


def verdict(over: OverSeeds, paper: float | str | None, unit: str = "points") -> str:
    """What an interval of differences over seeds shows.

    It shows a direction where it leaves out 0. Of arms without any true difference one in twenty does.
    """
    if over.low is None or over.high is None or over.detectable is None:
        return ALONE
    if over.low <= 0 <= over.high:
        return f"{UNSURE} (minimum detectable difference {over.detectable:.3g} {unit})"
    up = over.low > 0
    if paper is None:
        return HIGHER if up else LOWER
    return SHOWS if up == is_up(paper) else OPPOSITE


def is_up(paper: float | str) -> bool:
    """Whether the paper's arm is above its baseline."""
    return paper == UP if isinstance(paper, str) else paper > 0


def write_rows(rows: Iterable[Row]) -> bytes:
    """One JSON object a line, by arm, seed and measure as they come."""
    return b"".join(json.dumps(asdict(row), sort_keys=True).encode() + b"\n" for row in rows)


def read_rows(data: bytes, what: str) -> list[Row]:
    """What :func:`write_rows` was given.

    Raises:
        DataError: a line is none of them.
    """
    found: list[Row] = []
    for number, text in enumerate(data.decode(errors="replace").splitlines(), 1):
        try:
            stored: dict[str, Any] = json.loads(text)
            found.append(Row(**{**stored, "settings": tuple(stored.get("settings", ()))}))
        except (ValueError, TypeError, AttributeError) as e:
            raise DataError(f"{what}, line {number}: no row of an ablation ({e}); make it again: --table-only") from e
    return found


def _line(measure: Measure, arm: str, rows: Sequence[Row], baseline: str) -> Line:
    own, base = _values(rows, arm, measure.name), _values(rows, baseline, measure.name)
    seeds = sorted(own.keys() & base.keys())
    halves = [(r.high - r.low) / 2 for r in own.values() if r.low is not None and r.high is not None]
    mean = sum(_number(r) for r in own.values()) / len(own) if own else None
    paper = measure.paper.get(arm)
    line = Line(
        arm=arm,
        metric=measure.name,
        mean=None if mean is None else measure.scale * mean,
        seeds=len(own),
        over=None,
        sampling=measure.scale * sum(halves) / len(halves) if halves else None,
        paper=paper,
        verdict=BASELINE if arm == baseline and own else "",
        why=_why(rows, arm, measure.name, own),
    )
    if arm == baseline and own:
        return line
    if not seeds:
        return replace(line, verdict=line.why or ALONE, why="")
    differences = [measure.scale * (_number(own[s]) - _number(base[s])) for s in seeds]
    steps = [1 / r.n for s in seeds for r in (own[s], base[s]) if r.n]
    over = over_seeds(differences, step=measure.scale * max(steps, default=0.0))
    return replace(line, over=over, verdict=verdict(over, paper, measure.unit))


def _values(rows: Sequence[Row], arm: str, metric: str) -> dict[int, Row]:
    found: dict[int, Row] = {}
    for row in rows:
        if (row.arm, row.metric) == (arm, metric) and row.value is not None:
            if row.seed in found:
                raise DataError(f"{metric} of {arm}, seed {row.seed}, is there twice")
            found[row.seed] = row
    return found


def _number(row: Row) -> float:
    assert row.value is not None
    return row.value


def _why(rows: Sequence[Row], arm: str, metric: str, own: Mapping[int, Row]) -> str:
    """What is said of the seeds without a number, each reason once."""
    reasons: dict[str, list[int]] = {}
    for row in rows:
        if row.arm == arm and row.metric in ("", metric) and row.state and row.seed not in own:
            reasons.setdefault(f"{row.state}: {row.why}" if row.why else row.state, []).append(row.seed)
    whole = len(reasons) == 1 and not own
    said = [why if whole else f"seed {', '.join(map(str, seeds))} {why}" for why, seeds in reasons.items()]
    return "; ".join(said)
