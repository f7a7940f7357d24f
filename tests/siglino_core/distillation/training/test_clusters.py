"""Loss by curation cluster: means over windows of the training, and images of other sets left out."""

import numpy as np
import torch

from siglino_core.distillation.training.clusters import ClusterLoss, table


def test_means_by_cluster_and_window() -> None:
    losses = ClusterLoss(clusters=3, steps=20)
    for step in range(20):
        losses.add(step, np.array([0, 2, 2, -1]), torch.tensor([float(step), 1.0, 3.0, 99.0]))
        if step == 7:
            losses.gather()
    losses.gather()
    found = table(losses.total, 20).to_pylist()
    assert {row["cluster"] for row in found} == {0, 2}
    assert sum(row["images"] for row in found) == 60
    first, *_, last = [row for row in found if row["cluster"] == 0]
    assert (first["first_step"], first["last_step"], first["loss"]) == (0, 2, 1.0)
    assert (last["first_step"], last["last_step"], last["loss"]) == (18, 19, 18.5)
    assert all(row["loss"] == 2.0 for row in found if row["cluster"] == 2)
    steps = [s for row in found if row["cluster"] == 2 for s in range(row["first_step"], row["last_step"] + 1)]
    assert steps == list(range(20))


def test_more_windows_than_steps() -> None:
    losses = ClusterLoss(clusters=1, steps=2)
    losses.add(1, np.array([0]), torch.ones(1))
    losses.gather()
    assert table(losses.total, 2).to_pylist() == [
        {"cluster": 0, "first_step": 1, "last_step": 1, "images": 1, "loss": 1.0}
    ]
