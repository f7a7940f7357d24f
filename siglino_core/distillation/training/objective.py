"""What the student pays in one forward pass: each teacher's summaries, patches, registers and relations, and an anchor.

Legend: B images, N patches of all images, C a teacher's width, D the anchor's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cosine_similarity

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.losses import (
    gram_errors,
    mean_over_images,
    patch_errors,
    per_image,
    relation_loss,
    summary_errors,
)
from siglino_core.models import Features
from siglino_core.models.encoder import STUDENT
from siglino_core.teachers.teacher import Targets


@dataclass(frozen=True, eq=False)
class Loss:
    """Of one forward pass.

    Attributes:
        total: to be differentiated; averaged over ranks and summed over a step's passes it is the step's loss.
        terms: this rank's part of each term and measure, detached, by "teacher.kind" and "siglino.gram"; they add up
            as ``total`` does.
        per_image_B: each image's own errors, weighted and summed, without relations; detached.
    """

    total: Tensor
    terms: dict[str, Tensor]
    per_image_B: Tensor


@dataclass(kw_only=True)
class Objective:
    """The sum over teachers of four terms, and one of the student's own, weighted by ``config``.

    Summaries and patches are measured in units of their variance (PHI-S: the squared error over phi^2), so that a
    student that predicts the mean pays 1 for each; registers in the teacher's own units. Gram anchoring, if
    ``config.gram`` weighs it, is of the student's own patches, before its heads.

    Args:
        statistics: of every teacher, by name.
        group: the ranks over which relations are taken.
    """

    config: LossConfig
    statistics: Mapping[str, Statistics]
    group: dist.ProcessGroup | None = None

    def __call__(
        self,
        features: Features,
        targets: Mapping[str, Targets],
        counts: Sequence[int],
        *,
        images: float,
        passes: int = 1,
        anchor_ND: Tensor | None = None,
    ) -> Loss:
        """The loss of one forward pass.

        Args:
            features: the student's.
            targets: the teachers', of the same images, by teacher.
            counts: patches of each image.
            images: of the whole step over all ranks, divided by the number of ranks.
            passes: forward passes of the step on each rank: relations are averaged over them.
            anchor_ND: patches of the student that anchors this one (`siglino_core.distillation.training.anchor`), if
                ``config.gram`` is above 0.
        """
        assert (anchor_ND is not None) == (self.config.gram > 0)
        c, terms = self.config, {}
        device = features.summaries["siglino"].device
        total, per_image_B = torch.zeros((), device=device), torch.zeros(len(counts), device=device)
        for name, target in targets.items():
            summaries = features.summaries[name]
            stats = self.statistics[name]
            errors = {"summary": (c.summary, summary_errors(summaries, target.summaries, phi=stats.summary.phi))}
            terms[f"{name}.summary_cosine"] = mean_over_images(_cosine(summaries, target.summaries), images)
            if target.patches is not None and stats.patch is not None:
                predicted = features.patches[name]
                error_B = patch_errors(predicted, target.patches, counts, phi=stats.patch.phi)
                errors["patch"] = (c.patch, error_B)
                cosine_B = per_image(_cosine(predicted, target.patches), counts)
                terms[f"{name}.patch_cosine"] = mean_over_images(cosine_B, images)
            if target.registers is not None:
                errors["register"] = (c.register, summary_errors(features.registers[name], target.registers))
            for kind, (weight, error_B) in errors.items():
                term = mean_over_images(error_B, images)
                terms[f"{name}.{kind}"] = term.detach()
                total = total + weight * term
                per_image_B += weight * error_B.detach()
            if c.relation is not Relation.NONE:
                relation = relation_loss(
                    summaries, target.summaries, c.relation.value, beta=c.relation_beta, group=self.group
                )
                relation = relation / passes
                terms[f"{name}.relation"] = relation.detach()
                total = total + c.relation_weight * relation
        if anchor_ND is not None:
            error_B = gram_errors(features.patches[STUDENT], anchor_ND, counts)
            term = mean_over_images(error_B, images)
            terms[f"{STUDENT}.gram"] = term.detach()
            total = total + c.gram * term
            per_image_B += c.gram * error_B.detach()
        terms["loss"] = total.detach()
        return Loss(total, terms, per_image_B)


@torch.no_grad()
def _cosine(student: Tensor, teacher: Tensor) -> Tensor:
    return cosine_similarity(student.float(), teacher.float(), dim=-1)
