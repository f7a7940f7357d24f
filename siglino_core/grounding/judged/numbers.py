"""The numbers of a series, each with a 95% interval over whole images, and what of them a paired test needs.

Legend: N expressions, M of them that count for a number, B draws, V summed values.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from siglino_core.evaluation.results.result import Metric
from siglino_core.grounding.judged.series import Series
from siglino_core.grounding.metrics.boxes import THRESHOLDS
from siglino_core.grounding.metrics.counts import BUCKETS
from siglino_core.grounding.metrics.masks import THRESHOLDS as MASK_THRESHOLDS
from siglino_core.grounding.metrics.masks import Overlaps
from siglino_core.grounding.metrics.presence import mcc, presence
from siglino_core.statistics.bootstrap import mean_interval, ratio, statistic_interval
from siglino_core.statistics.interval import Interval
from siglino_core.statistics.proportion import wilson

BOOTSTRAP = "bootstrap, drawn by image"
WILSON = "wilson, over images"  # where all expressions agree: a draw of what never differs would have no width
AT = 0.5  # the IoU at which a box of several is found
ACCURACY, MEAN_IOU, SEVERAL = "accuracy@0.5", "mean_iou", "several_f1@0.5"
MASK_IOU, MASK_IOU_THERE, CUMULATIVE, PRESENT, MCC = "miou", "miou, present", "ciou", "accuracy", "mcc"


@dataclass(frozen=True, kw_only=True, eq=False)
class Numbers:
    """A task's numbers of a series.

    Attributes:
        metrics: by name, the headline first.
        counts_N: bool, the expressions that count for the headline; ``values_N``: what each of them adds to its mean.
        samples: by metric, which expressions count and their values, for those metrics that are plain means.
    """

    metrics: dict[str, Metric]
    samples: dict[str, tuple[np.ndarray, np.ndarray]]

    @property
    def headline(self) -> str:
        return next(iter(self.metrics))


def of_boxes(series: Series) -> Numbers | None:
    """Boxes of expressions that refer to something; None: there are none.

    ``accuracy@T`` and ``mean_iou`` are over expressions with exactly one referent, and compare the surest box;
    ``several_f1@0.5`` is the mean F1 of one-to-one matches over those with more; ``f1@0.5, B`` is 2 found / (predicted
    + true) over all objects of expressions with B referents.
    """
    one_N, several_N = series.true_N == 1, series.true_N > 1
    samples: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    if one_N.any():
        iou_M = series.iou_N[one_N]
        for threshold in THRESHOLDS:
            samples[f"accuracy@{threshold:g}"] = one_N, (iou_M >= threshold).astype(np.float64)
        samples[MEAN_IOU] = one_N, iou_M
    if several_N.any():
        several = [m.f1(AT) for m, there in zip(series.matches, several_N, strict=True) if there]
        samples[SEVERAL] = several_N, np.array(several)
    metrics = {name: mean(values, series.images_N[counts_N]) for name, (counts_N, values) in samples.items()}
    return Numbers(metrics=metrics | _buckets(series), samples=samples) if samples else None


def _buckets(series: Series) -> dict[str, Metric]:
    """F1 over the objects of expressions with so many referents; without any, only inventions can be counted."""
    rows_N2 = np.array([[2.0 * m.found(AT), m.predicted + m.true] for m in series.matches]).reshape(-1, 2)
    found = {}
    for name, (low, high) in BUCKETS.items():
        inside_N = (series.true_N >= low) & (series.true_N <= (np.inf if high is None else high))
        if low and inside_N.any():
            images_M = series.images_N[inside_N]
            interval = statistic_interval(rows_N2[inside_N], ratio, images_M)
            found[f"f1@{AT:g}, {name}"] = _at_an_end(interval, images_M)
    return found


def of_masks(series: Series) -> Numbers | None:
    """Masks of all expressions that have some to compare, absent ones among them; None: none was compared.

    ``miou`` is the mean of intersection by union, 1 where both are empty; ``miou, present`` that over expressions that
    refer to something; ``ciou`` summed intersections by summed unions; ``precision@T`` the share whose IoU is at least
    T.
    """
    counts_N = series.masked_N
    there_N = counts_N & (series.true_N > 0)
    if not counts_N.any():
        return None
    pixels_M2, images_M = series.pixels(counts_N), series.images_N[counts_N]
    iou_M = Overlaps(inter_N=pixels_M2[:, 0], union_N=pixels_M2[:, 1]).iou_N
    samples = {MASK_IOU: (counts_N, iou_M)}
    if there_N.any():
        samples[MASK_IOU_THERE] = there_N, iou_M[there_N[counts_N]]
    for threshold in MASK_THRESHOLDS:
        samples[f"precision@{threshold:g}"] = counts_N, (iou_M >= threshold).astype(np.float64)
    metrics = {name: mean(values, series.images_N[counts_K]) for name, (counts_K, values) in samples.items()}
    whole = _at_an_end(statistic_interval(pixels_M2, _cumulative, images_M), images_M)
    return Numbers(metrics={MASK_IOU: metrics.pop(MASK_IOU), CUMULATIVE: whole, **metrics}, samples=samples)


def of_presence(series: Series) -> Numbers | None:
    """Whether it was said rightly that there is such a thing; None: all expressions are present, or all absent."""
    true_N = series.true_N > 0
    if true_N.all() or not true_N.any():
        return None
    judged = presence(series.said_N, true_N)
    every_N = np.ones(series.n, np.bool_)
    samples = {PRESENT: (every_N, judged.correct_N.astype(np.float64))}
    metrics = {
        PRESENT: mean(samples[PRESENT][1], series.images_N),
        MCC: _metric(statistic_interval(judged.rows_N4, mcc, series.images_N)),
    }
    return Numbers(metrics=metrics, samples=samples)


TASKS: dict[str, Callable[[Series], Numbers | None]] = {
    "grounding_box": of_boxes,
    "grounding_mask": of_masks,
    "grounding_presence": of_presence,
}


def mean(values_M: np.ndarray, images_M: np.ndarray) -> Metric:
    """A mean over expressions, with an interval over images."""
    return _at_an_end(mean_interval(values_M, images_M), images_M)


def _at_an_end(interval: Interval, images_M: np.ndarray) -> Metric:
    """The metric of a number between 0 and 1; at one of these ends, where no draw differs, with Wilson's interval."""
    if interval.mean not in (0.0, 1.0):
        return _metric(interval)
    images = len(np.unique(images_M))
    found = wilson(round(interval.mean * images), images)
    return Metric(value=interval.mean, low=found.low, high=found.high, n=interval.n, method=WILSON)


def _metric(interval: Interval) -> Metric:
    """Without an interval where all draws are the same, as of Matthews' correlation of answers that never differ."""
    if interval.low is None or interval.low == interval.high:
        return Metric(value=interval.mean, n=interval.n)
    return Metric(value=interval.mean, low=interval.low, high=interval.high, n=interval.n, method=BOOTSTRAP)


def _cumulative(sums_B2: np.ndarray) -> np.ndarray:
    """Summed intersections by summed unions; 1 where all masks are empty."""
    inter_B, union_B = sums_B2.T
    return np.where(union_B > 0, inter_B / np.where(union_B > 0, union_B, 1), 1.0)
