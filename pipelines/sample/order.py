"""In which order a cluster's members are taken: one score an image, the higher the sooner.

With `Quota.GLOBAL` scores of different clusters compare too: one threshold for all keeps exactly the target.
"""

from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from pipelines.sample.read import bucket_cells, members, stays
from siglino_core.config import Pick, Quota, SampleConfig
from siglino_core.curation.sampling.coverage import farthest_first
from siglino_core.curation.sampling.facility import facility_gains
from siglino_core.curation.sampling.herding import herding_scores
from siglino_core.device import single_thread
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store import Shard

SEEDS = 5  # draws over which balance is measured, where there are several; the first is the sample


def draws_of(sample: SampleConfig) -> int:
    """How many different samples the seed could give: one, if nothing is drawn."""
    return 1 if sample.pick in (Pick.HERDING, Pick.FACILITY) and sample.quota is not Quota.HIERARCHICAL else SEEDS


def is_ordered(sample: SampleConfig) -> bool:
    """Whether the order comes from the embeddings, and so is worked out while a cluster's are together."""
    return sample.pick in (Pick.HERDING, Pick.FACILITY, Pick.COVERAGE)


def score_columns(sample: SampleConfig) -> list[str]:
    """The columns of an order's file: one for each draw of coverage, which starts from a random member."""
    return [f"score_{i}" for i in range(SEEDS if sample.pick is Pick.COVERAGE else 1)]


def order(work: SampleWork, limit: float, unit: Shard) -> dict[str, Any]:
    """Score the members of a bucket's clusters; outliers are left out."""
    single_thread()
    name, sample = f"bucket-{unit['bucket']:05d}", work.config.sample
    writer = work.writer(unit["name"])
    table, points = bucket_cells(work, unit["bucket"])
    with work.stage.files.parquet(f"decisions/{name}.parquet") as file:
        decided = file.read(columns=["copies", "duplicate_of", "outlier_distance"])
    candidate = stays(decided, limit)
    weight = weights(decided, sample)
    bits = id_bits(table["image_id"].to_pylist())
    columns: dict[str, np.ndarray] = {}
    for i, column in enumerate(score_columns(sample)):
        score = columns[column] = np.zeros(table.num_rows, np.float32)
        start = uniform(key_of(work.config.seed + i, "spread"), bits)
        for rows in members(table["level_1"].to_numpy(), candidate):
            if sample.pick is Pick.HERDING:
                score[rows] = herding_scores(points[rows])
            elif sample.pick is Pick.FACILITY:
                gains = facility_gains(points[rows], weight[rows])
                score[rows] = gains / len(rows) ** sample.size_penalty if sample.quota is Quota.GLOBAL else gains
            else:
                score[rows] = farthest_first(points[rows], int(start[rows].argmin()))
    with writer as out:
        out.write(f"orders/{name}.parquet", pa.table(columns), pa.table(columns).schema)
        return out.commit(rows=0)


def weights(decided: pa.Table, sample: SampleConfig) -> np.ndarray:
    """What each image counts: float64 [N], the images of the pool that it stands for, to a power.

    Args:
        decided: ``copies`` of a bucket's images.
    """
    return decided["copies"].to_numpy().astype(np.float64) ** sample.duplicate_power


def scores(work: SampleWork, table: pa.Table, draw: int) -> np.ndarray:
    """The score of every image of a bucket, fp32 [N], at least 0.

    Args:
        table: the bucket's decisions, with its order's columns beside them if there are any.
        draw: which of the draws.
    """
    sample = work.config.sample
    if is_ordered(sample):
        columns = score_columns(sample)
        return table[columns[min(draw, len(columns) - 1)]].to_numpy()
    if sample.pick is Pick.CLOSEST:
        return (2 - np.minimum(table["distance"].to_numpy(), 2)).astype(np.float32)
    key = key_of(work.config.seed + draw, "pick")
    return (1 - uniform(key, id_bits(table["image_id"].to_pylist()))).astype(np.float32)
