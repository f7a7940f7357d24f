"""A student's two heads together in retrieval, by similarities that are computed in blocks and never all in memory.

Legend: N images, M texts, n images or m texts of a block.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from siglino_core.evaluation.arrays import Array, cosines, unit
from siglino_core.evaluation.calibrated import Calibration, calibrate_retrieval, mix
from siglino_core.evaluation.ensemble import average, ensemble
from siglino_core.evaluation.features import Features
from siglino_core.evaluation.retrieval import Ranks, ranks_by_blocks, text_ranks_by_blocks
from siglino_core.evaluation.tasks.towers import Texts
from siglino_core.hashing import key_of

FITTED = 1000  # train images, at most, that temperatures are fitted to, each with its first caption


@dataclass(frozen=True, eq=False)
class Head:
    """One head's images and texts, unit vectors in fp64: [N, D] and [M, D]."""

    images_ND: np.ndarray
    texts_MD: np.ndarray

    @classmethod
    def of(cls, images: Array, texts: Array) -> "Head":
        """From features of any length; raises DataError for rows that are not finite or zero."""
        images_ND = unit(images, "features of images", dtype=np.float64)
        return cls(images_ND, unit(texts, "features of texts", dtype=np.float64))

    def by_images(self, rows: slice) -> np.ndarray:
        """Cosines of some images and all texts, fp32 [n, M]."""
        return cosines(self.images_ND[rows], self.texts_MD)

    def by_texts(self, rows: slice) -> np.ndarray:
        """Cosines of some texts and all images, fp32 [m, N]."""
        return cosines(self.texts_MD[rows], self.images_ND)


def siglino_ranks(a: Head, b: Head, image_M: np.ndarray) -> Ranks:
    """The released form on raw cosines: entropies over texts, for both directions."""

    def similar(rows: slice) -> np.ndarray:
        return ensemble(a.by_images(rows), b.by_images(rows)).astype(np.float32)

    return ranks_by_blocks(similar, image_M, len(a.images_ND))


def average_ranks(a: Head, b: Head, image_M: np.ndarray) -> Ranks:
    """The mean of both cosines, which is the cosine of one vector of both."""

    def similar(rows: slice) -> np.ndarray:
        return average(a.by_images(rows), b.by_images(rows)).astype(np.float32)

    return ranks_by_blocks(similar, image_M, len(a.images_ND))


def calibrated_ranks(a: Head, b: Head, image_M: np.ndarray, for_texts: Calibration, for_images: Calibration) -> Ranks:
    """Each direction by its own mix over its own candidates, as `calibrated.mix_retrieval` has them."""

    def for_image(rows: slice) -> np.ndarray:
        return mix(a.by_images(rows), b.by_images(rows), for_images).astype(np.float32)

    def for_text(rows: slice) -> np.ndarray:
        return mix(a.by_texts(rows), b.by_texts(rows), for_texts).astype(np.float32)

    images = len(a.images_ND)
    found = ranks_by_blocks(for_image, image_M, images)
    return Ranks(
        text_to_image_M=text_ranks_by_blocks(for_text, image_M, images),
        image_to_text_Q=found.image_to_text_Q,
        images_Q=found.images_Q,
    )


def fitted(
    train: Features | None, texts: Mapping[str, Texts], a: str, b: str, seed: int
) -> tuple[Calibration, Calibration] | None:
    """Mixes for texts and for images, fitted to some images of the train split; None: fewer than two have a caption."""
    first: dict[str, int] = {}  # of each image one row, though it may stand there once for each caption
    for i, captions in enumerate(train.captions if train is not None else ()):
        if train is not None and captions:
            first.setdefault(train.image_ids[i], i)
    captioned = list(first.values())
    if train is None or len(captioned) < 2:
        return None
    order = np.random.default_rng(key_of(seed, "captions to fit")).permutation(len(captioned))
    rows = np.sort(np.array(captioned)[order[:FITTED]])
    words = [train.captions[i][0] for i in rows]
    pair = [Head.of(train.summaries[v][rows], texts[v].features(words)).by_images(slice(None)) for v in (a, b)]
    return calibrate_retrieval(pair[0], pair[1], np.arange(len(rows)))
