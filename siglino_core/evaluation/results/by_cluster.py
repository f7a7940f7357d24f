"""A metric by the curation's clusters, beside what the training's loss was on them: where is the network weak, and why.

Legend: N samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from siglino_core.errors import DataError
from siglino_core.evaluation.results.columns import KEY, checked_samples, group_numbers
from siglino_core.evaluation.results.result import Metric
from siglino_core.schema import CLUSTER_LOSS, check
from siglino_core.statistics.bootstrap import DRAWS, mean_interval
from siglino_core.statistics.proportion import wilson


@dataclass(frozen=True, kw_only=True)
class ClusterRow:
    """One cluster of the curation.

    Attributes:
        cluster: None: images that are in no cluster.
        images: evaluated, each once.
        metric: its mean over the cluster's samples, with its 95% interval.
        trained: images of it that training saw, however often.
        first_loss, last_loss: mean error in the first and the last window that had images of it; None: none had.
    """

    cluster: int | None
    images: int
    metric: Metric
    trained: int = 0
    first_loss: float | None = None
    last_loss: float | None = None


def by_cluster(
    samples: pa.Table,
    clusters: Mapping[str, int],
    losses: pa.Table | None = None,
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> list[ClusterRow]:
    """A row a cluster that has samples, by its number; last, the images that are in none.

    The interval is Wilson's where answers are right or wrong and independent, else a bootstrap's of whole groups.

    Args:
        samples: of one series: one network, view and metric (`columns.SAMPLES`).
        clusters: an image's cluster by its ``image_id``.
        losses: ``train/clusters`` (`siglino_core.schema.CLUSTER_LOSS`) of the same level's clusters.

    Raises:
        DataError: samples of several series, or a table that is not what it should be.
    """
    samples = checked_samples(samples, "samples")
    for name in KEY:
        found = samples.column(name).unique().to_pylist()
        if len(found) > 1:
            raise DataError(f"samples by cluster are of one {name}, not of {', '.join(sorted(found))}: filter them")
    images = samples.column("image_id").to_pylist()
    groups_N = group_numbers(samples)
    values_N = samples.column("correct").to_numpy()
    of_cluster: dict[int | None, list[int]] = {}
    for i, image in enumerate(images):
        of_cluster.setdefault(clusters.get(image), []).append(i)
    trained = _losses(losses) if losses is not None else {}
    rows = []
    for cluster in sorted(of_cluster, key=lambda c: (c is None, c or 0)):
        at = np.array(of_cluster[cluster])
        count, first, last = trained.get(cluster, (0, None, None)) if cluster is not None else (0, None, None)
        rows.append(
            ClusterRow(
                cluster=cluster,
                images=len({images[i] for i in at}),
                metric=_metric(values_N[at], None if groups_N is None else groups_N[at], draws, seed),
                trained=count,
                first_loss=first,
                last_loss=last,
            )
        )
    return rows


def _metric(values: np.ndarray, groups: np.ndarray | None, draws: int, seed: int) -> Metric:
    if groups is not None and len(np.unique(groups)) == len(groups):
        groups = None
    if groups is None and np.isin(values, (0, 1)).all():
        found, method = wilson(int(values.sum()), len(values)), "wilson"
    else:
        found = mean_interval(values, groups, draws=draws, seed=seed)
        method = "bootstrap" if groups is None else "bootstrap, clustered by group"
    return Metric(value=found.mean, low=found.low, high=found.high, n=len(values), method=method)


def _losses(table: pa.Table) -> dict[int, tuple[int, float, float]]:
    """Images and the first and the last window's loss, by cluster."""
    found: dict[int, tuple[int, float, float]] = {}
    table = check(table, CLUSTER_LOSS, "the losses by cluster")
    for row in table.sort_by([("cluster", "ascending"), ("first_step", "ascending")]).to_pylist():
        images, first, _ = found.get(row["cluster"], (0, row["loss"], 0.0))
        found[row["cluster"]] = (images + row["images"], first, row["loss"])
    return found
