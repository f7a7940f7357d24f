"""What the student pays in one forward pass: each teacher's summaries, patches, registers and relations, and an anchor.

Legend: B images, N patches of all images, C a teacher's width, D the anchor's, V packs, M teachers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cosine_similarity

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.dropping import coefficients
from siglino_core.distillation.training.errors import TokenErrors, explains
from siglino_core.distillation.training.losses import gram_errors, mean_over_images, per_image, summary_errors
from siglino_core.distillation.training.relations import Linearised, linearised, related_packs, unrelated
from siglino_core.distillation.training.routes import Chosen
from siglino_core.models import Features
from siglino_core.models.encoder import STUDENT
from siglino_core.teachers.teacher import Targets

Summaries = Mapping[str, tuple[Tensor, Tensor]]  # by teacher: the student's and its own, [B, C] each, of one pass


@dataclass(frozen=True, eq=False)
class Loss:
    """Of one forward pass.

    Attributes:
        total: to be differentiated; averaged over ranks and summed over a step's passes it is the step's loss.
        terms: this rank's part of each term and measure, detached, by "teacher.kind" and "siglino.gram"; they add up
            as ``total`` does, but for what teacher dropping left out of that. "teacher.kept" is the share of its images
            that it stayed for.
        per_image_B: each image's own errors, weighted and summed over its teachers, without relations; detached.
    """

    total: Tensor
    terms: dict[str, Tensor]
    per_image_B: Tensor


@dataclass(frozen=True, eq=False)
class Taught:
    """The images that train a teacher, where not all do.

    Attributes:
        chosen: those of the pass.
        images: of the whole step over all ranks, divided by the number of ranks.
    """

    chosen: Chosen
    images: float


@dataclass(frozen=True, eq=False)
class _Paid:
    """What is paid for a teacher's images: by kind a weight and each image's errors, and what is only measured."""

    errors: dict[str, tuple[float, Tensor]]
    cosines: dict[str, Tensor]

    def whole(self) -> Tensor:
        """Each image's errors, weighted and summed; detached."""
        return torch.stack([weight * error_B.detach() for weight, error_B in self.errors.values()]).sum(0)


@dataclass(kw_only=True)
class Objective:
    """The sum over teachers of four terms, and one of the student's own, weighted by ``config``.

    By default summaries and patches are measured in units of their variance (PHI-S: the squared error over phi^2), so
    that a student that predicts the mean pays 1 for each; ``config`` may ask for other errors in other spaces
    (`siglino_core.distillation.training.errors`). Registers are measured in the teacher's own units. Gram anchoring, if
    ``config.gram`` weighs it, is of the student's own patches, before its heads.

    Args:
        statistics: of every teacher, by name.
        weights: of the teachers whose terms do not weigh 1, by name.
        group: the ranks over which relations are taken.

    Raises:
        ConfigError: statistics that lack what ``config`` asks for.
    """

    config: LossConfig
    statistics: Mapping[str, Statistics]
    weights: Mapping[str, float] = field(default_factory=dict)
    group: dist.ProcessGroup | None = None

    def __post_init__(self) -> None:
        c = self.config
        self._summary = {n: TokenErrors.of_summaries(c, s.summary, n) for n, s in self.statistics.items()}
        self._patch = {n: TokenErrors.of_patches(c, s.patch, n) for n, s in self.statistics.items() if s.patch}

    @property
    def explains(self) -> tuple[str, ...]:
        """Kinds of terms that are shares of the teacher's variance: 1 less that is explained."""
        c = self.config
        kinds = {"summary": (c.summary_error, c.summary_normalize), "patch": (c.patch_error, c.patch_normalize)}
        return tuple(kind for kind, asked in kinds.items() if explains(*asked))

    def relations(
        self,
        passes: Sequence[Summaries],
        images_V: Sequence[int],
        *,
        packs: int,
        taught_V: Mapping[str, Sequence[int]] | None = None,
    ) -> list[dict[str, Linearised]]:
        """The relations of a round of passes, by pass and teacher.

        Args:
            passes: this rank's, in order.
            images_V: images of each pack of the round, over all ranks; pack i is held by rank i mod ranks.
            packs: of the whole step.
            taught_V: the same of teachers that not all images train, by name; ``passes`` hold those images alone.
        """
        c, related = self.config, related_packs(self.config, packs)
        assert c.relation is not Relation.NONE
        found: list[dict[str, Linearised]] = [{} for _ in passes]
        for name in passes[0]:
            pairs = [summaries[name] for summaries in passes]
            options = {"mode": c.relation.value, "beta": c.relation_beta, "group": self.group}
            counts_V = (taught_V or {}).get(name, images_V)
            parts = (
                linearised(pairs, counts_V, related=related, share=related / packs, **options)
                if sum(counts_V)
                else unrelated(pairs)
            )
            for by_teacher, part in zip(found, parts, strict=True):
                by_teacher[name] = part
        return found

    def __call__(
        self,
        features: Features,
        targets: Mapping[str, Targets],
        counts: Sequence[int],
        *,
        images: float,
        relations: Mapping[str, Linearised] | None = None,
        anchor_ND: Tensor | None = None,
        taught: Mapping[str, Taught] | None = None,
        draws_MB: Tensor | None = None,
    ) -> Loss:
        """The loss of one forward pass.

        Args:
            features: the student's.
            targets: the teachers', of the same images, by teacher; of those in ``taught`` of its images alone.
            counts: patches of each image.
            images: of the whole step over all ranks, divided by the number of ranks.
            relations: this pass's part of its round's, by teacher, if they count.
            anchor_ND: patches of the student that anchors this one (`siglino_core.distillation.training.anchor`), if
                ``config.gram`` is above 0.
            taught: the images that train a teacher, of teachers that not all images train.
            draws_MB: of teacher dropping (`siglino_core.distillation.training.dropping`), in the order of ``targets``,
                if ``config.drop`` is above 0.
        """
        assert (anchor_ND is not None) == (self.config.gram > 0)
        assert (draws_MB is not None) == (self.config.drop > 0)
        c, terms, taught = self.config, {}, taught or {}
        device = features.summaries[STUDENT].device
        total, per_image_B = torch.zeros((), device=device), torch.zeros(len(counts), device=device)
        own = {n: taught[n].chosen.features(features, n) if n in taught else features for n in targets}
        paid = {
            n: self._paid(n, own[n], target, taught[n].chosen.counts if n in taught else counts)
            for n, target in targets.items()
        }
        kept = self._kept(paid, taught, draws_MB, len(counts))
        for name, of in paid.items():
            weight = self.weights.get(name, 1.0)
            share = taught[name].images if name in taught else images
            for kind, cosine_B in of.cosines.items():
                terms[f"{name}.{kind}_cosine"] = mean_over_images(cosine_B, share)
            for kind, (of_kind, error_B) in of.errors.items():
                term = mean_over_images(error_B, share)
                terms[f"{name}.{kind}"] = term.detach()
                left = term if name not in kept else mean_over_images(kept[name] * error_B, share)
                total = total + weight * of_kind * left
                _add(per_image_B, weight * of_kind * error_B.detach(), taught.get(name))
            if relations is not None:
                relation = relations[name](own[name].summaries[name])
                terms[f"{name}.relation"] = relation.detach()
                total = total + weight * c.relation_weight * relation
            if name in kept:
                terms[f"{name}.kept"] = mean_over_images((kept[name] > 0).to(total.dtype), share)
        if anchor_ND is not None:
            error_B = gram_errors(features.patches[STUDENT], anchor_ND, counts)
            term = mean_over_images(error_B, images)
            terms[f"{STUDENT}.gram"] = term.detach()
            total = total + c.gram * term
            per_image_B += c.gram * error_B.detach()
        terms["loss"] = total.detach()
        return Loss(total, terms, per_image_B)

    def _paid(self, name: str, features: Features, target: Targets, counts: Sequence[int]) -> _Paid:
        """A teacher's errors of some images, whose patches are ``counts``."""
        c, summaries = self.config, features.summaries[name]
        errors = {"summary": (c.summary, self._summary[name](summaries, target.summaries))}
        cosines = {"summary": _cosine(summaries, target.summaries)}
        if target.patches is not None and name in self._patch:
            predicted = features.patches[name]
            errors["patch"] = (c.patch, per_image(self._patch[name](predicted, target.patches), counts))
            cosines["patch"] = per_image(_cosine(predicted, target.patches), counts)
        if target.registers is not None:
            errors["register"] = (c.register, summary_errors(features.registers[name], target.registers))
        return _Paid(errors, cosines)

    def _kept(
        self, paid: Mapping[str, _Paid], taught: Mapping[str, Taught], draws_MB: Tensor | None, count: int
    ) -> dict[str, Tensor]:
        """What teacher dropping leaves of each image's errors, by teacher, [B]; nothing if all stays."""
        if draws_MB is None:
            return {}
        whole = {name: of.whole() for name, of in paid.items()}
        rows = {name: taught[name].chosen.rows_B if name in taught else slice(None) for name in whole}
        errors_MB = torch.stack([x.new_full((count,), -torch.inf) for x in whole.values()])
        for row, name in enumerate(whole):
            errors_MB[row, rows[name]] = whole[name]
        found_MB = coefficients(errors_MB, draws_MB, self.config.drop)
        return {name: found_MB[row, rows[name]] for row, name in enumerate(whole)}


def _add(per_image_B: Tensor, errors_B: Tensor, taught: Taught | None) -> None:
    """Add a teacher's errors to those of its images."""
    if taught is None:
        per_image_B += errors_B
    else:
        per_image_B.index_add_(0, taught.chosen.rows_B, errors_B.to(per_image_B.dtype))


@torch.no_grad()
def _cosine(student: Tensor, teacher: Tensor) -> Tensor:
    return cosine_similarity(student.float(), teacher.float(), dim=-1)
