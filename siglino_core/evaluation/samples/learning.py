"""Does a sample teach better than a random one of its size? Five splits of a labelled pool, and a paired interval.

Legend: N images, D channels, C classes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from siglino_core.evaluation.samples.probe import Learned, probe
from siglino_core.evaluation.samples.split import label_counts, quarter, teaches, thinned
from siglino_core.statistics.interval import Interval

SPLITS = 5
TESTED = 20_000  # images of the pool that are tested, a quarter at a time, and from which random ones are drawn
TRAINED = 10_000  # images to train on


@dataclass(frozen=True, kw_only=True, eq=False)
class Images:
    """Some images of a pool.

    Attributes:
        label_N: class numbers; -1 for none.
        ids_N: uint64.
        kept_N: bool, whether the sample has it.
    """

    label_N: np.ndarray
    ids_N: np.ndarray
    kept_N: np.ndarray

    def tested(self, seed: int) -> np.ndarray:
        """The rows that stand for the pool: all, or a keyed subset."""
        return thinned(np.arange(len(self.ids_N)), self.ids_N, TESTED, seed, "learning: pool")

    def needed(self, seed: int) -> np.ndarray:
        """The rows whose features :func:`compare` looks at, sorted."""
        kept = np.flatnonzero(self.kept_N)
        kept = thinned(kept, self.ids_N[kept], TRAINED, seed, "learning: sample")
        return np.union1d(self.tested(seed), kept)

    def take(self, rows: np.ndarray) -> "Images":
        return Images(label_N=self.label_N[rows], ids_N=self.ids_N[rows], kept_N=self.kept_N[rows])


def compare(images: Images, features_ND: np.ndarray, seed: int) -> dict[str, Any] | None:
    """A probe that is trained on the sample beside one trained on as many random images, both tested alike.

    A split holds out a quarter of every label; neither trains on it.

    Args:
        images: the needed ones.
        features_ND: theirs.

    Returns:
        JSON: ``curated``, ``random`` and their ``difference``, each with the intervals of ``probe`` and ``probe_rare``
        over the splits; and how many images train and test, of how many labels. None: fewer than two labels have four
        images, so that nothing can be tested.

    The splits share the sample, so that the interval is of this sample: another one may lie elsewhere.
    """
    pool = images.tested(seed)
    pool_C = label_counts(images.label_N)[:-1]
    trains_N = teaches(images.label_N)
    scores: dict[str, list[Learned]] = {"curated": [], "random": []}
    sizes = (0, 0, 0)
    for split in range(SPLITS):
        held = pool[quarter(images.label_N[pool], images.ids_N[pool], seed, split)]
        labels = len(np.unique(images.label_N[held]))
        if labels < 2:
            return None
        held_N = np.zeros(len(images.ids_N), bool)
        held_N[held] = True
        kept, free = np.flatnonzero(images.kept_N & ~held_N), pool[~held_N[pool]]
        size = min(len(kept), len(free), TRAINED)
        for name, rows in (("curated", kept), ("random", free)):
            drawn = thinned(rows, images.ids_N[rows], size, seed, f"learning: {name} {split}")
            drawn = drawn[trains_N[drawn]]
            test = (features_ND[held], images.label_N[held], pool_C)
            scores[name].append(probe(features_ND[drawn], images.label_N[drawn], *test))
        sizes = (size, len(held), labels)
    # Splits that agree do not say that there is no spread: it is one image of the sample, or one answer, at least.
    step = 1 / max(1, min(sizes[:2]))
    found = {name: _intervals([vars(v) for v in values], step) for name, values in scores.items()}
    pairs = zip(scores["curated"], scores["random"], strict=True)
    found["difference"] = _intervals([{k: vars(a)[k] - vars(b)[k] for k in vars(a)} for a, b in pairs], step)
    return {**found, "splits": SPLITS, **dict(zip(("train", "test", "labels"), sizes, strict=True))}


def _intervals(values: list[dict[str, float]], step: float) -> dict[str, Any]:
    keys = {"probe": "macro", "probe_rare": "rare"}
    return {name: vars(Interval.of([v[key] for v in values], step)) for name, key in keys.items()}
