"""A student that is evaluated: its own features and those of its heads, of images of any sizes.

Legend: B images, H and W pixels, N patches of all images, R registers, D width.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch

from siglino_core.evaluation.network.packs import Gathered, grid, packed, passes, tokens_at_once
from siglino_core.evaluation.network.plan import Described
from siglino_core.evaluation.network.routing import Routing
from siglino_core.evaluation.network.texts import Aligned
from siglino_core.evaluation.network.viewed import MEAN, Pixels, Seen
from siglino_core.models.encoder import STUDENT, SigLino


class StudentNetwork:
    """`siglino_core.evaluation.network.viewed.Viewed` of a student.

    Args:
        model: frozen, on its device.
        aligned: views that a head of text alignment makes of the tokens of another view.
        tokens: of one pass; an image that has more makes a pass of its own.
    """

    def __init__(
        self, model: SigLino, plan: Described, aligned: Mapping[str, Aligned] | None = None, tokens: int | None = None
    ) -> None:
        self._model, self._aligned = model, aligned or {}
        self._device = str(model.cls_token.device)
        self._tokens = tokens or tokens_at_once(self._device)
        self.identity, self.views, self.dense = plan.identity, plan.views, plan.dense
        self.texts: Mapping[str, str] = plan.texts
        self.pixels: Pixels = plan.pixels

    @torch.inference_mode()
    def __call__(self, images: Sequence[np.ndarray], *, dense: bool = False) -> Seen:
        """As `siglino_core.evaluation.network.viewed.Viewed`."""
        patch = self._model.spec.patch_size
        shapes = [grid(image, patch) for image in images]
        gathered, routing = Gathered(shapes), Routing(self._model)
        for places in passes(shapes, self._tokens, self._model.spec.prefix):
            some = [shapes[i] for i in places]
            patches_NV = packed([images[i] for i in places], patch, self._device)
            counts = [h * w for h, w in some]
            with routing.watched(counts):
                found = self._model.features(patches_NV, self._model.layout(some))
            means = [patches_ND.float().mean(0) for patches_ND in found.patches[STUDENT].split(counts)]
            summaries = {**found.summaries, MEAN: torch.stack(means)}
            for view, head in self._aligned.items():
                tokens = (found.summaries[head.of], found.registers[head.of], found.patches[head.of])
                summaries[view] = head.head(*tokens, some)
            gathered.add(places, summaries, found.patches if dense else None)
        seen = gathered.seen(self.views, self.dense if dense else ())
        return replace(seen, experts=routing.counts_LKE if len(routing.counts_LKE) else None)
