"""All results of a test set, the model against its best baseline, and that in words.

Grounding fits the evaluation's results: an expression is a sample, its image the group, a model a network, and free or
forced answers are its view. Boxes that are the same for any text are rows of ``constant_features``, and the model asked
for other images' texts is the row of ``shuffled_text``. How far the model is above the best of these rows is a metric
of its own, and the gate's rule for grounding (the lower end of its interval is above 0): it fails a model that is blind
to language, and one that finds nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from siglino_core.evaluation.results.result import ABOVE, CONSTANT, SHUFFLED, Metric, Result
from siglino_core.evaluation.results.rows import GROUNDED, points, said, span
from siglino_core.grounding.judged.answer import Kind
from siglino_core.grounding.judged.numbers import TASKS, Numbers
from siglino_core.grounding.judged.series import Series
from siglino_core.statistics.paired import paired_difference

MODEL, BASELINE = GROUNDED, "baseline"  # networks' names
FREE, FORCED = "free", "forced"  # views
ABSENT = "always absent"
PAIRED = "paired bootstrap, drawn by image"
ROWS = {  # of a baseline: its view, and which sanity row it is
    Kind.CENTRE: ("centre box", CONSTANT),
    Kind.PRIOR: ("largest-prior box", CONSTANT),
}
METRIC_WORDS = {
    "accuracy@0.5": "the share of boxes with an IoU of 0.5",
    "several_f1@0.5": "F1 over expressions with several referents",
    "miou": "masks' mean IoU (1 where rightly there is none)",
    "accuracy": "the share of right answers to whether it is there",
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A model against its best baseline in a task's headline metric.

    Attributes:
        baseline: the best one's name.
        above: whether the lower end of the difference's interval is above 0.
        words: the same in a sentence.
    """

    task: str
    metric: str
    model: str
    baseline: str
    difference: Metric
    above: bool
    words: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Judged:
    """What is said of a test set.

    Attributes:
        samples: rows of `evaluation.results.columns.SAMPLES` by task.
        notes: what was not measured, and why, in sentences.
    """

    name: str
    results: list[Result] = field(default_factory=list)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def judge(
    name: str,
    kinds: Mapping[Kind, Series],
    others: Mapping[str, Series],
    *,
    forced: bool,
    parameters: Mapping[str, Any],
    hashes: Mapping[str, str],
    boxes_alone: Sequence[str] = (),
    seed: int = 0,
) -> Judged:
    """Every task's results on a test set.

    Args:
        name: the set's, as results' files are called.
        kinds: the model's answers and the baselines'; others: other models', by name.
        forced: the model gave one box each.
        parameters, hashes: of the results.
        boxes_alone: other models that gave no masks.
        seed: of the paired draws.
    """
    found = Judged(name=name)
    view = FORCED if forced else FREE
    for task, numbers_of in TASKS.items():
        lacking = boxes_alone if task == "grounding_mask" else ()
        numbers = {kind: n for kind, series in kinds.items() if (n := numbers_of(series)) is not None}
        of_others = {
            other: n
            for other, series in others.items()
            if other not in lacking and (n := numbers_of(series)) is not None
        }
        if not numbers:
            found.notes.append(f"{name}: {_why_not(task)}")
            continue
        if task == "grounding_presence":
            numbers = {kind: n for kind, n in numbers.items() if kind not in ROWS}
            constants = _constant_presence(kinds[Kind.MODEL])
        else:
            constants = {ROWS[kind][0]: n for kind, n in numbers.items() if kind in ROWS}
            constants |= _no_masks(kinds[Kind.MODEL]) if task == "grounding_mask" else {}
        baselines = {**constants, **({"shuffled text": n} if (n := numbers.get(Kind.SHUFFLED)) is not None else {})}
        about: dict[str, Any] = {"task": task, "dataset": name, "split": "test", "parameters": dict(parameters)}
        about["hashes"] = dict(hashes)
        models = {MODEL: (numbers[Kind.MODEL], kinds[Kind.MODEL])}
        models |= {other: (n, others[other]) for other, n in of_others.items()}
        for model, (of_model, series) in models.items():
            verdict = _verdict(name, task, model, of_model, baselines, series, seed)
            metrics = dict(of_model.metrics)
            if verdict is not None:
                found.verdicts.append(verdict)
                metrics[ABOVE] = verdict.difference
            failed = series.counted("missing", of_model.samples[of_model.headline][0])
            found.results.append(
                Result(network=model, view=view, n=_n(of_model), n_failed=failed, metrics=metrics, **about)
            )
            found.samples.setdefault(task, []).extend(_samples(model, view, of_model, series))
        for label, of_row in constants.items():
            found.results.append(
                Result(network=BASELINE, view=label, sanity=CONSTANT, n=_n(of_row), metrics=of_row.metrics, **about)
            )
        if (shuffled := numbers.get(Kind.SHUFFLED)) is not None:
            found.results.append(
                Result(network=MODEL, view=view, sanity=SHUFFLED, n=_n(shuffled), metrics=shuffled.metrics, **about)
            )
    return found


def _n(numbers: Numbers) -> int:
    return numbers.metrics[numbers.headline].n


def _why_not(task: str) -> str:
    return {
        "grounding_box": "no expression refers to anything, so that there is no box to find.",
        "grounding_mask": "no masks, as the images have none, or none were asked for (answers.masks).",
        "grounding_presence": "presence is not measured, as all expressions refer to something, or none does.",
    }[task]


def _constant_presence(series: Series) -> dict[str, Numbers]:
    """What is right that says the same of every expression."""
    found = {}
    for label, value in (("always present", True), (ABSENT, False)):
        constant = _with(series, "said", pa.array([value] * series.n))
        if (numbers := TASKS["grounding_presence"](constant)) is not None:
            found[label] = numbers
    return found


def _no_masks(series: Series) -> dict[str, Numbers]:
    """What is right that never has a mask: where nothing is there. Of a true mask one pixel counts, which is missed."""
    unknown_N, missed_N = ~series.masked_N, (series.true_N > 0).astype(np.int64)
    none = _with(series, "inter", pa.array(np.zeros(series.n, np.int64), mask=unknown_N))
    none = _with(none, "union", pa.array(missed_N, mask=unknown_N))
    numbers = TASKS["grounding_mask"](none)
    return {} if numbers is None else {ABSENT: numbers}


def _with(series: Series, column: str, values: pa.Array) -> Series:
    """The same with other values of a column."""
    index = series.table.schema.get_field_index(column)
    return Series(series.table.set_column(index, series.table.schema.field(index), values))


def _verdict(
    name: str, task: str, model: str, own: Numbers, baselines: Mapping[str, Numbers], series: Series, seed: int
) -> Verdict | None:
    """The headline against the highest of the baselines', over the same expressions."""
    metric = own.headline
    able = {label: n for label, n in baselines.items() if metric in n.samples and _same(n, own, metric)}
    if not able:
        return None
    best = max(able, key=lambda label: able[label].metrics[metric].value)
    counts_N, values_M = own.samples[metric]
    found = paired_difference(able[best].samples[metric][1], values_M, series.images_N[counts_N], seed=seed)
    difference = Metric(
        value=found.difference, low=found.low, high=found.high, n=found.n, method=f"{PAIRED}; against {best}"
    )
    above = found.low is not None and found.low > 0
    what = METRIC_WORDS.get(metric, metric)
    between = span(found.low, found.high, signed=True)
    interval = f" ({between})" if between else ", with no interval: there is one image"
    theirs = points(able[best].metrics[metric].value)
    words = (
        f"{model} on {name}: {what} is {said(own.metrics[metric])}, "
        f"{'above' if above else 'not shown to be above'} {best} ({theirs}): "
        f"a difference of {points(found.difference, signed=True)} points{interval}."
    )
    return Verdict(
        task=task, metric=metric, model=model, baseline=best, difference=difference, above=above, words=words
    )


def _same(one: Numbers, other: Numbers, metric: str) -> bool:
    return bool(np.array_equal(one.samples[metric][0], other.samples[metric][0]))


def _samples(model: str, view: str, numbers: Numbers, series: Series) -> list[dict[str, Any]]:
    """What each expression says, for comparisons of two evaluations."""
    images, texts = series.table["image_id"].to_pylist(), series.table["text"].to_pylist()
    rows = []
    for metric, (counts_N, values_M) in numbers.samples.items():
        for i, value in zip(np.flatnonzero(counts_N).tolist(), values_M.tolist(), strict=True):
            rows.append(
                {
                    "network": model,
                    "view": view,
                    "metric": metric,
                    "sample_id": series.sample_ids[i],
                    "image_id": images[i],
                    "correct": value,
                    "score": series.top_scores[i],
                    "label": texts[i],
                    "group": images[i],
                }
            )
    return rows
