"""Errors of relations between images, over fixed groups of a step's packs, whatever the ranks and passes.

Which images meet in a relation is part of the objective, so it is a setting (`train.loss.relation_packs`): those of a
group of consecutive packs of a step. A group's packs may lie on many ranks and in many forward passes, whose
activations do not fit together. Its relation is therefore taken of the summaries alone, by every rank alike, and each
pass adds the product of its own summaries and the gradient by them (:class:`Linearised`): the parameters' gradient is
exact, and a rank differentiates through its own images alone.

Source: the split of a gradient at cached representations is that of Gao et al. 2021, "Scaling Deep Contrastive Learning
Batch Size under Memory Limited Setup" (arXiv 2101.06983), section 3.

Legend: B images, D channels, P pairs of images, V packs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import pad, smooth_l1_loss

from siglino_core.config import LossConfig
from siglino_core.distillation.training.losses import precise, products

NOISE = 1e-5  # mean distance, in units of the rows' length, under which distances are rounding
Relation = Literal["arkd", "rkd"]


@dataclass(frozen=True, eq=False)
class Linearised:
    """A loss of many passes' summaries, near those at which it was taken, as a function of one pass's.

    Attributes:
        value: this pass's part of the loss.
        gradient_BD: of the loss by this pass's summaries.
    """

    value: Tensor
    gradient_BD: Tensor

    def __call__(self, student_BD: Tensor) -> Tensor:
        """The value, with the gradient: ``student_BD`` are the summaries at which the loss was taken."""
        x_BD = student_BD.to(self.gradient_BD.dtype)
        return self.value + (self.gradient_BD * (x_BD - x_BD.detach())).sum()


def related_packs(config: LossConfig, packs: int) -> int:
    """Packs of a group, of a step's ``packs``; 1 where relations do not count, so that no pass waits for another."""
    return (config.relation_packs or packs) if config.relates else 1


def rounds(packs: int, *, related: int, at_once: int) -> list[range]:
    """The passes of a step, in order, cut into the shortest rounds that hold whole groups of related packs.

    A round of n passes costs n - 1 forward passes more than its own.

    Args:
        packs: of the step, over all ranks.
        related: packs of a group (:func:`related_packs`).
        at_once: packs of a pass, over all ranks; the last one may have fewer.
    """
    passes = -(-packs // at_once)
    cuts = [i for i in range(passes) if i * at_once % related == 0] + [passes]
    return [range(first, last) for first, last in pairwise(cuts)]


def linearised(
    passes: Sequence[tuple[Tensor, Tensor]],
    images_V: Sequence[int],
    *,
    related: int,
    share: float,
    mode: Relation = "arkd",
    beta: float = 1.0,
    group: dist.ProcessGroup | None = None,
) -> list[Linearised]:
    """The relations of a round's groups, one part for each of this rank's passes: the average over ranks is the sum.

    One exchange: every rank needs all summaries of the round, student's and teacher's. All ranks of ``group`` call this
    alike, also those without images. Of B images in a group it takes time and memory for a few [B, B].

    Args:
        passes: the student's and the teacher's summaries, [B, D] each, of this rank's passes; without a gradient.
        images_V: images of each pack of the round, over all ranks; pack i is held by rank i mod ranks.
        related: packs of a group.
        share: what a group's relation counts.
        mode, beta: as in :func:`relation_loss`.
    """
    pairs = [precise(student_BD.detach(), teacher_BD) for student_BD, teacher_BD in passes]
    widths = [x_BD.shape[1] for x_BD in pairs[0]]
    ours_BD = torch.cat([torch.cat(pair, 1) for pair in pairs])
    ranks = dist.get_world_size(group) if dist.is_available() and dist.is_initialized() else 1
    rank = dist.get_rank(group) if ranks > 1 else 0
    rows = [_rows_of(images_V, r, ranks) for r in range(ranks)]
    all_BD = ours_BD if ranks == 1 else _gathered(ours_BD, rows, group)
    student_BD, teacher_BD = all_BD.split(widths, 1)
    student_BD = student_BD.detach().requires_grad_()
    ends = np.cumsum(images_V)[related - 1 :: related]
    total = student_BD.new_zeros(())
    for first, last in zip([0, *ends[:-1]], ends, strict=True):
        total = total + share * relation_loss(student_BD[first:last], teacher_BD[first:last], mode, beta)
    (gradient_BD,) = torch.autograd.grad(total, student_BD)
    own_BD = ranks * gradient_BD[torch.from_numpy(rows[rank]).to(gradient_BD.device)]
    parts = own_BD.split([len(student_BD) for student_BD, _ in pairs])
    return [Linearised(total.detach() / len(passes), part_BD) for part_BD in parts]


def unrelated(passes: Sequence[tuple[Tensor, Tensor]]) -> list[Linearised]:
    """As :func:`linearised` of a round without images on any rank: nothing, and no exchange for it."""
    pairs = [precise(student_BD.detach(), teacher_BD) for student_BD, teacher_BD in passes]
    return [Linearised(student_BD.new_zeros(()), torch.zeros_like(student_BD)) for student_BD, _ in pairs]


def relation_loss(student_BD: Tensor, teacher_BD: Tensor, mode: Relation = "arkd", beta: float = 1.0) -> Tensor:
    """Distances between the summaries of all pairs of images, the student's held against the teacher's.

    Euclidean distances are divided by their mean over all pairs, each side by its own. ``rkd``: mean over pairs of
    the smooth-L1 distance of the two. ``arkd``: only what goes the wrong way counts, pairs nearer than the teacher's
    median being too far apart for the student, and the others too near.

    Args:
        beta: where smooth L1 turns from square to straight.

    Raises:
        ValueError: there is no such mode, or the images are not the same.

    Source: Park et al. 2019, "Relational Knowledge Distillation" (arXiv 1904.05068), section 3.2.1; the gates are
    those of SigLino's paper.
    """
    if mode not in get_args(Relation):
        raise ValueError(f"mode={mode!r}: not one of {', '.join(get_args(Relation))}")
    student_BD, teacher_BD = precise(student_BD, teacher_BD)
    if len(student_BD) != len(teacher_BD):
        raise ValueError(f"{len(student_BD)} images of the student, {len(teacher_BD)} of the teacher")
    if len(student_BD) < 2:
        return student_BD[:0].sum()
    ours_P, theirs_P = _distances(student_BD), _distances(teacher_BD)
    stray_P = ours_P - theirs_P
    if mode == "arkd":
        stray_P = torch.where(theirs_P < theirs_P.median(), stray_P, -stray_P).relu()
    return smooth_l1_loss(stray_P, torch.zeros_like(stray_P), beta=beta)


def _distances(x_BD: Tensor) -> Tensor:
    """Euclidean distances of all pairs, over their mean: [B (B - 1) / 2]. Equal rows have distance and gradient 0."""
    # Distances know no origin, and around the mean the products are smallest and cancel least.
    products_BB = products(x_BD - x_BD.detach().mean(0))
    square_B = products_BB.diagonal()
    square_BB = square_B[:, None] + square_B - 2 * products_BB
    first, second = torch.triu_indices(len(x_BD), len(x_BD), 1, device=x_BD.device)
    square_P = square_BB.flatten().index_select(0, first * len(x_BD) + second)
    apart_P = square_P > 0  # the root's slope is infinite at 0, and rounding goes below
    distance_P = square_P.where(apart_P, 1).sqrt().where(apart_P, 0)
    # A student begins with one summary for all images: what rounding leaves of their distances is no relation.
    mean = distance_P.mean().clamp(min=NOISE * x_BD.detach().norm(dim=1).mean())
    return distance_P / mean.where(mean > 0, 1)


def _rows_of(images_V: Sequence[int], rank: int, ranks: int) -> np.ndarray:
    """Where a rank's images stand among all, in its own order."""
    ends_V = np.cumsum(images_V)
    mine = range(rank, len(images_V), ranks)
    return np.concatenate([np.arange(ends_V[i] - images_V[i], ends_V[i]) for i in mine] or [np.arange(0)])


def _gathered(ours_BD: Tensor, rows: Sequence[np.ndarray], group: dist.ProcessGroup | None) -> Tensor:
    """All ranks' rows in the packs' order, which is the same for any number of ranks; each may have another number."""
    most = max(map(len, rows))
    padded_BD = pad(ours_BD, (0, 0, 0, most - len(ours_BD)))
    parts = [torch.empty_like(padded_BD) for _ in rows]
    dist.all_gather(parts, padded_BD, group=group)
    held_BD = torch.cat([part_BD[: len(own)] for part_BD, own in zip(parts, rows, strict=True)])
    order_B = torch.from_numpy(np.argsort(np.concatenate(rows))).to(held_BD.device)
    return held_BD[order_B]
