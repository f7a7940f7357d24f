"""Loss by curation cluster, over windows of the training: which data teaches, and which does not.

Legend: W windows, K clusters (the last one: images of other sets), B images.
"""

import numpy as np
import pyarrow as pa
import torch
import torch.distributed as dist
from torch import Tensor

from siglino_core import schema

WINDOWS = 8
MOST = 100_000  # clusters: the finest level that has at most so many is taken


class ClusterLoss:
    """Sums and counts of images' errors, fp64 [W, K], the same on all ranks after :meth:`gather`.

    Args:
        clusters: of the level.
        steps: of the training.
    """

    def __init__(self, clusters: int, steps: int) -> None:
        self.steps = steps
        self.windows = min(WINDOWS, steps)
        self.total = torch.zeros(2, self.windows, clusters + 1, dtype=torch.float64)
        self._pending = torch.zeros_like(self.total)

    def add(self, step: int, clusters_B: np.ndarray, errors_B: Tensor) -> None:
        """Take in the errors of one pass's images; a cluster of -1 is another set's."""
        window = step * self.windows // self.steps
        index_B = torch.from_numpy(clusters_B) % self.total.shape[2]
        values_B = errors_B.detach().double().cpu()
        self._pending[0, window].index_add_(0, index_B, values_B)
        self._pending[1, window].index_add_(0, index_B, torch.ones_like(values_B))

    def gather(self, device: str = "cpu", group: dist.ProcessGroup | None = None) -> None:
        """Add what all ranks have taken in since the last call; all ranks call it."""
        if dist.is_available() and dist.is_initialized():
            pending = self._pending.to(device)
            dist.all_reduce(pending, group=group)
            self._pending = pending.cpu()
        self.total += self._pending
        self._pending = torch.zeros_like(self.total)


def table(total_2WK: Tensor, steps: int) -> pa.Table:
    """One row a cluster and window that had images (`siglino_core.schema.CLUSTER_LOSS`)."""
    windows = total_2WK.shape[1]
    sums_WK, counts_WK = total_2WK
    cluster_WK = torch.arange(total_2WK.shape[2]).repeat(windows, 1)
    window_WK = torch.arange(windows)[:, None].expand_as(cluster_WK)
    some_WK = counts_WK[:, :-1] > 0
    cluster_R, window_R = cluster_WK[:, :-1][some_WK], window_WK[:, :-1][some_WK]
    count_R = counts_WK[:, :-1][some_WK]
    first_R = -(-window_R * steps // windows)
    last_R = -(-(window_R + 1) * steps // windows)
    columns = {
        "cluster": cluster_R.int().numpy(),
        "first_step": first_R.numpy(),
        "last_step": last_R.numpy() - 1,
        "images": count_R.long().numpy(),
        "loss": (sums_WK[:, :-1][some_WK] / count_R).numpy(),
    }
    order = np.lexsort((columns["first_step"], columns["cluster"]))
    return pa.table({name: values[order] for name, values in columns.items()}).cast(schema.CLUSTER_LOSS)
