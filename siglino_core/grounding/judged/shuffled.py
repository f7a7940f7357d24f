"""Another image's text for every expression of a shard, in memory that the shard bounds."""

from collections.abc import Callable, Sequence

from siglino_core.errors import DataError
from siglino_core.grounding.metrics.baselines import shuffled_texts
from siglino_core.hashing import key_of

Asked = tuple[str, str]  # an image's id, and an expression of it


def other_texts(
    own: Sequence[Asked], more: Sequence[Callable[[], Sequence[Asked]]], *, seed: int, name: str
) -> list[str] | None:
    """What each expression of a shard is asked in place of itself: a text of another image of the same set.

    Texts are shuffled inside of the shard, so that memory holds one shard's. Only where one image has more than half of
    its expressions, as in a shard of a single image, other shards' texts are read too, one after another, until that is
    no longer so. All depends on the seed and the shard alone.

    Args:
        own: of the shard, in its order.
        more: what reads those of the set's other shards.
        name: the shard's.

    Returns:
        A text each; None where the whole set has no such shuffle, as one image has most of its expressions.
    """
    pool = list(own)
    if not pool:
        return []
    left = iter(more)
    while True:
        try:
            to_N = shuffled_texts([image for image, _ in pool], seed=key_of(seed, "shuffled", name) % (1 << 62))
        except DataError:
            read = next(left, None)
            if read is None:
                return None
            pool += read()
            continue
        return [pool[i][1] for i in to_N[: len(own)].tolist()]
