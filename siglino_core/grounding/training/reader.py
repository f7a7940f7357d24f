"""Batches by the plan: which images with which of their expressions, read and decoded by loaders.

Legend: N images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from siglino_core.distillation.packing import Pack
from siglino_core.errors import DataError, SiglinoError
from siglino_core.grounding.data.referring import Expression, Referring
from siglino_core.grounding.training.batch import Batch, batch_of
from siglino_core.hashing import key_of, uniform
from siglino_core.images.reasons import BadImage


@dataclass(frozen=True, eq=False, kw_only=True)
class Asked(Dataset[Batch | SiglinoError]):
    """From packs of the plan to their batch. An error of ours is returned: raised in a worker it would lose its type.

    Args:
        images: by number: a list, a synthetic set, or shards.
        seed: of which expressions an image is asked, in each epoch.
        expressions: of an image, at most, in one pass.
        most: instances of an expression, at most.
        masked: whether masks are made: they cost time, and a loss may not ask for them.
    """

    images: Sequence[Referring]
    patch_size: int
    mask_scale: int
    seed: int
    expressions: int
    most: int
    masked: bool = True

    def __getitem__(self, packs: Sequence[Pack]) -> Batch | SiglinoError:
        try:
            return self.batch(packs)
        except SiglinoError as e:
            return e

    def batch(self, packs: Sequence[Pack]) -> Batch:
        """Read and decode.

        Raises:
            DataError: an image cannot be decoded, or an expression cannot be asked.
        """
        rows = [(int(row), p.epoch) for p in packs for row in p.rows_N]
        shapes = [(int(h), int(w)) for p in packs for h, w in p.grids_N2]
        images = [self.images[row] for row, _ in rows]
        asked = [self._chosen(image, row, epoch) for image, (row, epoch) in zip(images, rows, strict=True)]
        try:
            return batch_of(
                images,
                asked,
                shapes,
                patch_size=self.patch_size,
                mask_scale=self.mask_scale,
                most=self.most,
                masked=self.masked,
            )
        except BadImage as e:
            raise DataError(f"an image among {', '.join(i.image_id for i in images[:8])} cannot be decoded: {e}") from e

    def _chosen(self, image: Referring, row: int, epoch: int) -> list[Expression]:
        """As many of an image's expressions as one pass takes, others in the next epoch; in their own order."""
        count = len(image.expressions)
        if count <= self.expressions:
            return list(image.expressions)
        number_N = np.arange(count, dtype=np.uint64)
        drawn_N = uniform(key_of(self.seed, "expressions", row, epoch), number_N)
        return [image.expressions[i] for i in sorted(drawn_N.argsort(kind="stable")[: self.expressions])]
