"""The loss of a pass: a part of the step's, whose terms are means over all ranks' tokens, instances, masks and images.

As in distillation, the average over ranks of values and gradients is what one process would get from all of them.

Legend: T tokens of all images, S tokens of all texts, K instances of all texts, N patches of all images, D width, B
images, U mask logits on each side of a patch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from siglino_core.config import GroundLossConfig
from siglino_core.distillation.training.losses import gram_errors, mean_over_images
from siglino_core.grounding.codecs import coordinate_place, size_place
from siglino_core.grounding.losses import answer_loss, bin_loss, box_loss, dice_loss, expected_pair, focal_loss
from siglino_core.grounding.model import GroundingModel, States
from siglino_core.grounding.targets import UNASKED, Targets
from siglino_core.models.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many items a step's terms are means over: of all ranks, divided by their number."""

    answers: float
    instances: float
    masks: float
    images: float

    @staticmethod
    def of(targets: Targets, masks: Mapping[int, Tensor], images: int) -> "Counts":
        """Those of one pass."""
        answers = int((targets.answer_S != UNASKED).sum())
        return Counts(answers=answers, instances=len(targets.coordinate_K), masks=len(masks), images=images)


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A pass's part of the loss.

    Attributes:
        total: to go backward from.
        terms: unweighted parts, detached; they add up over passes and average over ranks.
    """

    total: Tensor
    terms: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What a pass costs."""

    weights: GroundLossConfig

    def __call__(
        self,
        model: GroundingModel,
        states: States,
        layout: Layout,
        targets: Targets,
        masks: Mapping[int, Tensor],
        image_K: Sequence[int],
        counts: Counts,
        anchor_ND: Tensor | None = None,
    ) -> Loss:
        """The loss of a pass.

        Args:
            masks: by instance, the share of each mask pixel that it covers: [U h, U w] of its image.
            image_K: each instance's image.
            counts: of the step.
            anchor_ND: the patches of the student that is frozen, if Gram anchoring weighs anything.
        """
        w, text_SD = self.weights, states.text_SD
        parts: dict[str, tuple[float, Tensor]] = {}
        logits_SA = model.answer(text_SD)
        parts["answer"] = (w.answer, _mean(answer_loss(logits_SA, targets.answer_S), counts.answers))
        xy_K2n = model.coordinate(text_SD[targets.coordinate_K])
        hw_K2n = model.size(text_SD[targets.size_K])
        bins = model.config.bins
        for name, weight, logits, place in (
            ("coordinate", w.coordinate, xy_K2n, coordinate_place(targets.centre_K2, bins)),
            ("size", w.size, hw_K2n, size_place(targets.side_K2, bins)),
        ):
            parts[name] = (weight, _mean(bin_loss(logits, place, w.spread), counts.instances))
        if w.box:
            centre_K2, side_K2 = expected_pair(xy_K2n, "coordinate"), expected_pair(hw_K2n, "size")
            boxes = box_loss(centre_K2, side_K2, targets.centre_K2, targets.side_K2)
            parts["box"] = (w.box, _mean(boxes, counts.instances))
        patches_ND = layout.parted(states.image_TD)[1]
        if counts.masks and (w.focal or w.dice):
            focal, dice = self._masks(model, text_SD[targets.segment_K], patches_ND, layout, masks, image_K)
            parts["focal"] = (w.focal, _mean(focal, counts.masks))
            parts["dice"] = (w.dice, _mean(dice, counts.masks))
        if w.gram:
            assert anchor_ND is not None
            parts["gram"] = (
                w.gram,
                mean_over_images(gram_errors(patches_ND, anchor_ND, layout.patches), counts.images),
            )
        total = torch.stack([weight * part for weight, part in parts.values()]).sum()
        return Loss(total=total, terms={"loss": total.detach(), **{k: part.detach() for k, (_, part) in parts.items()}})

    @staticmethod
    def _masks(
        model: GroundingModel,
        state_KD: Tensor,
        patches_ND: Tensor,
        layout: Layout,
        masks: Mapping[int, Tensor],
        image_K: Sequence[int],
    ) -> tuple[Tensor, Tensor]:
        """Sums over the instances that have a mask; each image's pixels are made once."""
        of_image: dict[int, list[int]] = {}
        for k in masks:
            of_image.setdefault(image_K[k], []).append(k)
        focal = dice = patches_ND.new_zeros((), dtype=torch.float32)
        by_image = patches_ND.split(layout.patches)
        for image, instances in of_image.items():
            scale = model.config.mask_scale
            true_Khw = torch.stack([masks[k] for k in instances]).to(patches_ND.device)
            shape = (true_Khw.shape[1] // scale, true_Khw.shape[2] // scale)
            logits_Khw = model.mask(state_KD[instances], model.mask.pixels(by_image[image], shape))
            focal = focal + focal_loss(logits_Khw, true_Khw)
            dice = dice + dice_loss(logits_Khw, true_Khw)
        return focal, dice


def _mean(total: Tensor, count: float) -> Tensor:
    return total / (count or 1.0)
