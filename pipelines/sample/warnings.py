"""What to say of a sample that its numbers alone do not tell."""

from siglino_core.config import Pick, SampleConfig
from siglino_core.curation.clustering.levels import PICKS, derived
from siglino_core.report.numbers import plural

LARGE = 0.25  # of what may be kept: from here on mostly what stands alone is left to choose
FEWER = 0.8  # of the outliers asked for
MANY = 0.4  # of the images: more near-duplicates than a pool usually has
OFF = 2  # times as many clusters as suit the sample, or as few


def warnings(
    sample: SampleConfig, clusters: int, reasons: dict[str, int], followed: tuple[int, int] | None = None
) -> list[str]:
    """Sentences, one for each doubt.

    Args:
        clusters: of level 1.
        reasons: images by what became of them.
        followed: how many images are clustered, and how many of them decide the centroids, where nobody said how many
            clusters there are; None: somebody did.
    """
    found = []
    target = sample.target_size
    kept = reasons.get("kept", 0) + reasons.get("over_quota", 0)
    outliers = reasons.get("outlier", 0)
    suits = derived(followed[0], target, followed[1])[0] if followed else clusters
    if not 1 / OFF <= suits / clusters <= OFF:
        found.append(
            f"{plural(clusters, 'cluster')} of level 1 {'is' if clusters == 1 else 'are'} kept from an earlier sample; "
            f"for {plural(target, 'image')} {suits:,} would suit: --redo cluster."
        )
    elif sample.pick is not Pick.RANDOM and clusters > max(1, target // PICKS):
        found.append(
            f"{plural(clusters, 'cluster')} of level 1 for {plural(target, 'image')}: near one image a cluster it "
            f"hardly matters which is taken. Set cluster.num_clusters[0] to at most {max(1, target // PICKS)}."
        )
    if sample.pick in (Pick.HERDING, Pick.FACILITY) and target >= LARGE * kept:
        found.append(
            f"{plural(target, 'image')} {'is' if target == 1 else 'are'} {target / kept:.0%} of the {kept:,} that are "
            "left to choose from: the larger that share is, the less it matters which are taken."
        )
    copies = reasons.get("near_duplicate", 0)
    if copies >= MANY * (images := kept + outliers + copies):
        found.append(
            f"{copies / images:.0%} of {plural(images, 'image')} are near-duplicates by sample.near_duplicate="
            f"{sample.near_duplicate:g}. Look at some: if you would tell them apart, raise it; this encoder does not."
        )
    asked = int((kept + outliers) * sample.trim)
    if outliers < FEWER * asked:
        found.append(
            f"{plural(outliers, 'outlier')} {'was' if outliers == 1 else 'were'} dropped where sample.trim="
            f"{sample.trim:g} asks for {asked}: the others are as far from their neighbours as images that stay."
        )
    return found
