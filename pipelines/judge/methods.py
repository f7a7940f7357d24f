"""Ways to choose a sample: recipes, which run as stages of the product, and two that look at the whole pool.

Legend: N images, T of the sample, D channels.
"""

import re
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pipelines import cluster, sample
from pipelines.judge.folder import Folder, kept
from siglino_core.config import ClusterConfig, Config, Pick, Quota, Runner, SampleConfig, Seeding, shaping
from siglino_core.curation.clustering.levels import derived
from siglino_core.curation.dedup.near import representatives
from siglino_core.errors import ConfigError
from siglino_core.evaluation.samples.whole_pool import MOST, facility_location, k_centre
from siglino_core.hashing import id_bits, key_of, uniform

RANDOM, DEDUPLICATED, PUBLISHED, FLAT = "random", "deduplicated", "published", "flat"
K_CENTRE, FACILITY = WHOLE_POOL = ("k_centre", "facility_location")
BASELINES = (RANDOM, DEDUPLICATED, PUBLISHED, FLAT, *WHOLE_POOL)
TITLES = {
    DEDUPLICATED: "duplicates removed, then random",
    PUBLISHED: "published form",
    FLAT: "k-means, flat quotas",
    K_CENTRE: "k-centre of the whole pool",
    FACILITY: "duplicates removed, facility location of the whole pool",
}
TOO_LARGE = f"it holds a number for every pair of images, and is left out above {MOST:,} of them"
GREEDY_START = 20_000  # images up to which k-means++ starts one centroid after the other


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The rows of a sample, sorted int64 [T], and the CPU seconds that choosing them took."""

    rows_T: np.ndarray
    cpu_seconds: float


def cosine_of(config: Config) -> float:
    """The cosine of near-duplicates for baselines and measures: the recipe's, if it removes any."""
    own = config.sample.near_duplicate
    return own if removes(config) else SampleConfig().near_duplicate


def removes(config: Config) -> bool:
    """Whether the recipe removes near-duplicates, and leaves the others."""
    return 0 < config.sample.near_duplicate < 1


def baselines(config: Config, images: int) -> dict[str, Config]:
    """The simpler recipes that the product can express, at the judged recipe's target and levels.

    Duplicates are removed as the recipe does, or by default where it removes none: else theirs would be in the sample.

    Args:
        images: that they choose from. Among more than 20,000 k-means starts from seeds drawn in rounds, which takes a
            fraction of the time; the methods' settings tell which it was.
    """
    start = Seeding.KMEANS_PP if images <= GREEDY_START else Seeding.D2_ROUNDS
    drawn = {"quota": Quota.GLOBAL, "pick": Pick.RANDOM, "trim": 0.0}
    equal = {**drawn, "quota": Quota.HIERARCHICAL, "quota_power": 0.0, "min_support": 1}
    one = replace(config.cluster, seeding=Seeding.D2_ROUNDS, iterations=0, resampling=0, num_clusters=[1])
    kmeans = replace(config.cluster, seeding=start, iterations=10, resampling=0)

    def with_(clusters: ClusterConfig, **change: Any) -> Config:
        change = {"near_duplicate": cosine_of(config), **change}
        return replace(config, cluster=clusters, sample=replace(config.sample, **change))

    return {
        RANDOM: with_(one, **drawn, near_duplicate=1.0),
        DEDUPLICATED: with_(one, **drawn),
        PUBLISHED: with_(replace(kmeans, resampling=3, resampling_iterations=5), **equal),
        FLAT: with_(replace(kmeans, num_clusters=config.cluster.num_clusters[:1]), **equal),
    }


def fitted(config: Config, images: int, target: int, levels: list[int] | None) -> Config:
    """A recipe for a pool of some size, run in this process.

    Args:
        levels: clusters of each level; None: as many as the product derives.
    """
    return replace(
        config,
        cluster=replace(config.cluster, num_clusters=levels or derived(images, target, images)),
        sample=replace(config.sample, target_size=target),
        runtime=replace(config.runtime, runner=Runner.LOCAL),
    )


def by_recipe(config: Config, folder: Folder) -> Chosen:
    """What the product's own stages choose.

    Raises:
        ConfigError, DataError: the pool is too small for the recipe.
    """
    began = time.process_time()
    cluster.run(config, folder.run, redo="always")
    sample.run(config, folder.run, redo="always")
    return Chosen(rows_T=kept(folder), cpu_seconds=time.process_time() - began)


def whole_pool(name: str, config: Config, unit_ND: np.ndarray, folder: Folder) -> Chosen:
    """What one of the two that look at the whole pool chooses.

    Raises:
        ConfigError: the pool is too large for it, or too small once duplicates are gone.
    """
    if len(unit_ND) > MOST:
        raise ConfigError(TOO_LARGE)
    began, target = time.process_time(), config.sample.target_size
    if name == K_CENTRE:
        start = int(uniform(key_of(config.seed, "start"), id_bits(folder.ids)).argmin())
        return _chosen(k_centre(unit_ND, target, start), began)
    ordered = unit_ND[folder.order_N]
    stands_N = representatives(ordered, cosine_of(config))
    rows = folder.order_N[stands_N == np.arange(len(stands_N))]
    if len(rows) < target:
        raise ConfigError(f"only {len(rows):,} images are left when duplicates are gone")
    return _chosen(rows[facility_location(unit_ND[rows], target)], began)


def _chosen(rows: np.ndarray, began: float) -> Chosen:
    return Chosen(rows_T=np.sort(rows), cpu_seconds=time.process_time() - began)


def in_words(error: str) -> str:
    """An error of the stages in the words of the judge, whose sizes are not those of a run."""
    return re.sub(r"cluster\.num_clusters(\[\d\]|=)", "levels=", error).replace("sample.target_size=", "target=")


def settings(config: Config) -> dict[str, Any]:
    """What of a config decides a sample, as JSON says it."""
    return {"cluster": shaping(config.cluster), "sample": shaping(config.sample)}
