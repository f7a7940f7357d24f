"""Clusters weighed by what a training has left to learn on them, for a second sample.

Legend: K clusters of the level whose losses a training keeps.
"""

import numpy as np
import pyarrow as pa

from siglino_core.errors import DataError

SHARE = 0.25  # of the training's steps, the last ones, whose losses count
PRIOR = 16.0  # images at the mean loss that each cluster is taken to have had besides


def remaining(losses: pa.Table, clusters: int, power: float = 1.0) -> np.ndarray:
    """A weight for each cluster: its loss at the end of a training over the mean one, to a power; float64 [K].

    A loss over few images is drawn to the mean, and a cluster that had none there has the weight 1.

    Args:
        losses: of `siglino_core.schema.CLUSTER_LOSS`, as a training leaves them.
        clusters: of that level.
        power: 0 weighs all alike; below 0 what is learned already gets more.

    Raises:
        DataError: losses of other clusters, none at all, or one that is not finite or below 0.
    """
    if not losses.num_rows:
        raise DataError("the training has no losses by cluster")
    cluster_R, last_R = losses["cluster"].to_numpy(), losses["last_step"].to_numpy()
    images_R, loss_R = losses["images"].to_numpy().astype(np.float64), losses["loss"].to_numpy()
    if cluster_R.max() >= clusters:
        raise DataError(f"losses of cluster {cluster_R.max()}, where there are {clusters}: of another clustering")
    if not np.isfinite(loss_R).all() or (loss_R < 0).any():
        raise DataError("losses by cluster that are below 0 or not finite")
    late_R = last_R + 1 > (1 - SHARE) * (last_R.max() + 1)
    images_K = np.bincount(cluster_R[late_R], images_R[late_R], minlength=clusters)
    sums_K = np.bincount(cluster_R[late_R], (images_R * loss_R)[late_R], minlength=clusters)
    mean = sums_K.sum() / images_K.sum()
    if mean == 0:
        return np.ones(clusters)
    return ((sums_K + PRIOR * mean) / (images_K + PRIOR) / mean) ** power
