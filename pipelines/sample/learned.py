"""What a run that was trained on the same clusters has left to learn on each of them.

Legend: K1 clusters of level 1.
"""

from collections.abc import Sequence

import numpy as np

from siglino_core.config import SampleConfig
from siglino_core.curation.sampling.remaining import remaining
from siglino_core.errors import ConfigError
from siglino_core.hashing import fingerprint
from siglino_core.store import Run

LOSSES = "clusters/part-00000.parquet"


def input_of(config: SampleConfig, run: Run) -> dict[str, str]:
    """A hash of what decides the sample too, the training and the power; empty: there is none.

    Raises:
        ConfigError: it was trained on a sample of other clusters.
        StoreError: it is not finished.
    """
    if not config.learned:
        return {}
    other = Run(config.learned)
    theirs, ours = other.stage("cluster").require().digest, run.stage("cluster").require().digest
    if theirs != ours:
        raise ConfigError(
            f"sample.learned={config.learned}: its clusters are others than this run's ({theirs[:12]}, {ours[:12]}). "
            "Give a run of the same pool, embedding, cluster settings and seed."
        )
    return {"learned": fingerprint([other.stage("train").require().digest, config.learned_power])}


def weights_of(config: SampleConfig, parents: Sequence[np.ndarray]) -> np.ndarray | None:
    """The weight of each level-1 cluster, float64 [K1]; None: all alike.

    Args:
        parents: for each level but the top, int [K_level] the cluster of the next level up.
    """
    if not config.learned:
        return None
    train = Run(config.learned).stage("train")
    manifest = train.require()
    level = manifest.facts["cluster_level"]
    counts = Run(config.learned).stage("cluster").require().identity["config"]["num_clusters"]
    weights = remaining(train.table(LOSSES, manifest), counts[level - 1], config.learned_power)
    for parent in reversed(parents[: level - 1]):
        weights = weights[parent]
    return weights
