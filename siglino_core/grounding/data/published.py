"""How many expressions, objects and images the published splits of RefCOCO, RefCOCO+ and RefCOCOg have.

Sources: objects and images, the catalog of TensorFlow Datasets (ref_coco; its "refs" are objects). Expressions of
RefCOCO (unc), FlagEval's description of its evaluation sets; the others are the usual published counts: their sums are
the 141,564 of RefCOCO+ and the 95,010 of RefCOCOg. Of RefCOCOg by google some print 104,560, which counts the
expressions of a test part that was never given out. RefCOCO by google: expressions are not known by part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from siglino_core.errors import DataError
from siglino_core.grounding.data.refs import Ref


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Of one split; ``expressions`` is None where it is not known; ``objects`` counts references, one an object."""

    expressions: int | None
    objects: int
    images: int


def _counts(expressions: int | None, objects: int, images: int) -> Counts:
    return Counts(expressions=expressions, objects=objects, images=images)


PUBLISHED = {
    ("refcoco", "unc"): {
        "train": _counts(120_624, 42_404, 16_994),
        "val": _counts(10_834, 3_811, 1_500),
        "testA": _counts(5_657, 1_975, 750),
        "testB": _counts(5_095, 1_810, 750),
    },
    ("refcoco", "google"): {
        "train": _counts(None, 40_000, 19_213),
        "val": _counts(None, 5_000, 4_559),
        "test": _counts(None, 5_000, 4_527),
    },
    ("refcoco+", "unc"): {
        "train": _counts(120_191, 42_278, 16_992),
        "val": _counts(10_758, 3_805, 1_500),
        "testA": _counts(5_726, 1_975, 750),
        "testB": _counts(4_889, 1_798, 750),
    },
    ("refcocog", "umd"): {
        "train": _counts(80_512, 42_226, 21_899),
        "val": _counts(4_896, 2_573, 1_300),
        "test": _counts(9_602, 5_023, 2_600),
    },
    ("refcocog", "google"): {
        "train": _counts(85_474, 44_822, 24_698),
        "val": _counts(9_536, 5_000, 4_650),
    },
}


def counted(refs: Sequence[Ref]) -> dict[str, Counts]:
    """What is there, by split, in the order in which the splits come."""
    splits = dict.fromkeys(ref.split for ref in refs)
    return {split: _of([ref for ref in refs if ref.split == split]) for split in splits}


def _of(refs: Sequence[Ref]) -> Counts:
    sentences = sum(len(ref.sentences) for ref in refs)
    return _counts(sentences, len(refs), len({ref.image for ref in refs}))


def check_counts(refs: Sequence[Ref], dataset: str, split_by: str) -> None:
    """Compare with the published counts.

    Raises:
        DataError: they differ: every number that does is named.
    """
    expected, found = PUBLISHED[dataset, split_by], counted(refs)
    faults = [f"there is a split {s}" for s in found if s not in expected]
    for split, want in expected.items():
        have = found.get(split, _counts(0, 0, 0))
        for what in ("expressions", "objects", "images"):
            n, there = getattr(want, what), getattr(have, what)
            if n is not None and n != there:
                faults.append(f"{split} has {there:,} {what} instead of {n:,}")
    if faults:
        raise DataError(f"{dataset} by {split_by} is not what was published: {'; '.join(faults)}. Fetch it again.")
