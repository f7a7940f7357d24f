"""How many clusters each level has, where nobody says: from the pool's size and the sample's."""

from siglino_core.config import Config

# Measured (docs/curation.md): from 33 to 300 hardly differ.
IMAGES = 40  # of a level-1 cluster, about
PICKS = 4  # of a level-1 cluster, at least: near one pick a cluster it no longer matters which member is taken
FACTOR = 5  # clusters of a level in one of the next
FEWEST = 64  # clusters of a level above the first: to share equally between ten or fewer was a loss
MOST = 4  # levels, as in the published hierarchy


def levels_of(config: Config, images: int) -> list[int]:
    """The number of clusters of each level, the finest first: as set, or derived.

    Args:
        config: if ``cluster.num_clusters`` is empty, they are derived.
        images: that are clustered.
    """
    fitted = int(images * config.cluster.fit_fraction)
    return config.cluster.num_clusters or derived(images, config.sample.target_size, fitted)


def derived(images: int, target: int, fitted: int) -> list[int]:
    """Level 1 has a cluster for 40 images, but at most one for 4 images of the sample; each level above a fifth.

    Args:
        images: in the pool.
        target: images in the sample.
        fitted: images of the pool that decide the centroids; a centroid has at least two.
    """
    levels = [max(1, min(images // IMAGES, target // PICKS, fitted // 2))]
    while len(levels) < MOST and levels[-1] >= FEWEST * FACTOR:
        levels.append(levels[-1] // FACTOR)
    return levels
