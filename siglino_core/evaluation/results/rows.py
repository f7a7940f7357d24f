"""What tables of results share: which rows are partial, whose teacher is whose, and how numbers are written."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from siglino_core.config import Task
from siglino_core.evaluation.results.result import SANITY, Metric, Result

View = tuple[str, str]  # a network's name and one of its views
OWN = "siglino"  # a student's own features: `models.encoder.STUDENT`, without torch for those who read results
GROUNDED = "grounding"  # the fine-tuned model that answers; others beside it are not the run's own
STUDENT = "student"  # what an evaluation calls the run's own
UNTRAINED = "untrained"  # the network that a student was before training, which keeps nothing of its teachers
DESCRIPTIVE = ("geometry",)  # tasks whose numbers tell networks apart, but not the better one
FIDELITY = "fidelity"  # the task whose every head and size has a target of its own: its teacher
GROUNDING = ("grounding_box", "grounding_mask", "grounding_presence")  # tasks of an image with a text
AT = "@"  # in a network's name: at which side of images it is evaluated
LIMIT = "limit"  # the parameter that says so of a result over a part of its split


def is_partial(result: Result) -> bool:
    """Whether the result is over a part of its split only, which nothing may be judged by."""
    return bool(result.parameters.get(LIMIT))


def proper(results: Iterable[Result]) -> list[Result]:
    """Those that are no sanity rows."""
    return [r for r in results if not r.sanity]


def graded(results: Iterable[Result]) -> list[Result]:
    """Those whose numbers are the better the higher."""
    return [r for r in proper(results) if r.task not in DESCRIPTIVE]


def headlines(results: Iterable[Result]) -> list[dict[str, Any]]:
    """What a command prints of each result: its headline, and whose it is."""
    rows = []
    for r in results:
        name, metric = r.headline
        assert math.isfinite(metric.value), "results hold finite numbers alone"
        where = {key: getattr(r, key) for key in ("task", "dataset", "network", "view", "sanity", "n")}
        rows.append({**where, "metric": name, "value": metric.value, "low": metric.low, "high": metric.high})
    return rows


def teachers_of(results: Sequence[Result]) -> dict[View, View]:
    """Which view of which network is the teacher of a view of another, as :func:`teachers_among` has it."""
    views: dict[str, set[str]] = {}
    for r in proper(results):
        views.setdefault(r.network, set()).add(r.view)
    return teachers_among(views)


def teachers_among(views: Mapping[str, Collection[str]]) -> dict[View, View]:
    """The same by the names of networks and of their views.

    A teacher is a network that bears the name of one of its own views, as a student's heads bear their teachers' names.
    A student is none, though one that was given no name is called as its own features are: what has a student's own
    features teaches nobody.
    Its views are the teachers of views of the same name; if two networks could be, neither is. Of networks at a size of
    their own (``siglip2@224``) those of one size belong together.
    """
    teachers = {network for network, own in views.items() if network.partition(AT)[0] in own and OWN not in own}
    found: dict[View, View] = {}
    for network in views.keys() - teachers:
        size = network.partition(AT)[2]
        for view in views[network]:
            able = [t for t in sorted(teachers) if view in views[t] and t.partition(AT)[2] == size]
            if len(able) == 1:
                found[network, view] = (able[0], view)
    return found


def row_order(view: View, teachers: Mapping[View, View]) -> tuple[bool, str, str]:
    """Networks in the order of their names, teachers after those that they taught."""
    return view in teachers.values(), *view


def task_order(task: str) -> tuple[int, str]:
    """As `siglino_core.config.Task` has them, what most people ask for first; then tasks of another version."""
    known = [str(t.value) for t in Task]
    return (known.index(task), "") if task in known else (len(known), task)


def sanity_order(sanity: str) -> int:
    """Results proper first, then sanity rows in the order of their definition."""
    return ("", *SANITY).index(sanity)


def points(value: float, *, signed: bool = False) -> str:
    """A share in percentage points: 0.8243 -> 82.4."""
    text = f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}"
    return text.replace("-0.0", "0.0").replace("+0.0", "0.0") if text in ("-0.0", "+0.0") else text.replace("-", "−")


def span(low: float | None, high: float | None, *, signed: bool = False) -> str:
    """An interval in percentage points; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"{points(low, signed=signed)} to {points(high, signed=signed)}"


def said(metric: Metric) -> str:
    """82.4 (81.2 to 83.5)."""
    between = span(metric.low, metric.high)
    return f"{points(metric.value)} ({between})" if between else points(metric.value)
