"""A network that takes packs of patches and is evaluated: teachers, at any image's own aspect.

Legend: B images, H and W pixels, N patches of all images, R registers, D width.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.network.packs import Gathered, grid, packed, passes, tokens_at_once
from siglino_core.evaluation.network.plan import Described
from siglino_core.evaluation.network.texts import Aligned
from siglino_core.evaluation.network.viewed import Pixels, Seen
from siglino_core.teachers.teacher import Targets, Teacher


class TeacherNetwork:
    """`siglino_core.evaluation.network.viewed.Viewed` of a teacher; its one view of its own bears its card's name.

    Args:
        teacher: frozen, on ``device``.
        aligned: views that a head of text alignment makes of the teacher's tokens.
        tokens: of one pass.
    """

    def __init__(
        self,
        teacher: Teacher,
        plan: Described,
        device: str,
        aligned: Mapping[str, Aligned] | None = None,
        tokens: int | None = None,
    ) -> None:
        self._teacher, self._device, self._aligned = teacher, device, aligned or {}
        self._tokens = tokens or tokens_at_once(device)
        self.identity, self.views, self.dense = plan.identity, plan.views, plan.dense
        self.texts: Mapping[str, str] = plan.texts
        self.pixels: Pixels = plan.pixels

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray], *, dense: bool = False) -> Seen:
        """As `siglino_core.evaluation.network.viewed.Viewed`.

        Raises:
            DataError: the teacher gave features of other shapes than its card says.
        """
        card = self._teacher.card
        shapes = [grid(image, card.patch_size) for image in images]
        gathered = Gathered(shapes)
        for places in passes(shapes, self._tokens, 1 + card.registers):
            some = [shapes[i] for i in places]
            found = self._teacher(packed([images[i] for i in places], card.patch_size, self._device), some)
            self._require_fits(found, some, dense)
            summaries = {card.name: found.summaries}
            for view, head in self._aligned.items():
                assert found.patches is not None
                summaries[view] = head.head(found.summaries, found.registers, found.patches, some)
            patches = {card.name: found.patches} if dense and found.patches is not None and self.dense else None
            gathered.add(places, summaries, patches)
        return gathered.seen(self.views, self.dense if dense else ())

    def _require_fits(self, found: Targets, shapes: Sequence[tuple[int, int]], dense: bool) -> None:
        card = self._teacher.card
        wanted = (len(shapes), card.dim)
        if tuple(found.summaries.shape) != wanted:
            raise DataError(f"{card.name}: summaries of {tuple(found.summaries.shape)}, its card says {wanted}")
        if not (dense and self.dense) and not self._aligned:
            return
        wanted = (sum(h * w for h, w in shapes), card.dim)
        if found.patches is None or tuple(found.patches.shape) != wanted:
            shape = None if found.patches is None else tuple(found.patches.shape)
            raise DataError(f"{card.name}: patches of {shape}, its card says {wanted}")
