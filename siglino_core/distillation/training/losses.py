"""What the student pays: per-image errors of summaries, registers and patches, and errors of relations between images.

Every rank holds some of a step's images. :func:`mean_over_images` and :func:`relation_loss` are such that the **average
over ranks**, of the values and of the parameters' gradients, is what one process would get from all images: an image
weighs the same whatever its resolution, its rank, or how many others share that rank. A rank without images takes
part: its value and gradients are 0.

B images, T patches (all images' in a row), R registers, D channels. Inputs may be bf16: all is computed in fp32, or in
fp64 if they are. No gradient flows to the teacher.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import mse_loss, normalize, pad, smooth_l1_loss

NOISE = 1e-5  # mean distance, in units of the rows' length, under which distances are rounding
Relation = Literal["arkd", "rkd"]


def mean_over_images(errors_B: Tensor, images: float) -> Tensor:
    """This rank's part of the mean over the step's images.

    Args:
        images: of the whole step over all ranks, divided by the number of ranks.
    """
    return errors_B.sum() / (images or 1.0)  # no image anywhere: 0


def summary_errors(student_BD: Tensor, teacher_BD: Tensor, *, phi: float = 1.0) -> Tensor:
    """Mean squared error of each image's channels, over phi^2: [B], 1 in the mean for a student that predicts the mean.

    Args:
        student_BD, teacher_BD: summaries, or registers [B, R, D]. Registers are exempt from PHI-S: DINOv3's second one
            is multimodal, and standardising it destabilises training.
        phi: of the teacher's summaries (`siglino_core.distillation.targets.phi_s.PhiS`), which makes the error that of
            standardised ones: their rotation keeps distances.

    Source: Ranzinger et al. 2024 (arXiv 2410.01680). Units: the variance of one of the teacher's channels.
    """
    return _squared_error(student_BD, teacher_BD) / phi**2


def patch_errors(student_TD: Tensor, teacher_TD: Tensor, lengths: Sequence[int], *, phi: float = 1.0) -> Tensor:
    """The mean over each image's own patches of the channels' mean squared error, over phi^2: [B].

    Args:
        lengths: patches of each image, in the order in which they stand.
        phi: as in :func:`summary_errors`.

    Raises:
        ValueError: ``lengths`` don't add up to the patches.
    """
    return per_image(_squared_error(student_TD, teacher_TD) / phi**2, lengths)


def per_image(values_T: Tensor, lengths: Sequence[int]) -> Tensor:
    """The mean of each image's own values: [B].

    Raises:
        ValueError: ``lengths`` don't add up to the values.
    """
    lengths_B = torch.tensor(_lengths(lengths, len(values_T)), device=values_T.device, dtype=torch.long)
    if not len(lengths_B):
        return values_T
    return torch.segment_reduce(values_T, "mean", lengths=lengths_B, unsafe=True)  # atomic adds would have no order


def gram_errors(student_TD: Tensor, anchor_TC: Tensor, lengths: Sequence[int]) -> Tensor:
    """Gram anchoring: each image's mean squared error of the cosines between all pairs of its patches, [B].

    Args:
        anchor_TC: the anchor's patches, of any width: cosines compare.
        lengths: as in :func:`patch_errors`; raises as it does.

    Source: Siméoni et al. 2025, "DINOv3" (arXiv 2508.10104), section 4.2, there as a sum over the pairs: a mean weighs
    images of all resolutions the same.
    """
    student_TD, anchor_TC = _precise(student_TD, anchor_TC)
    counts = _lengths(lengths, len(student_TD), len(anchor_TC))
    if not counts:
        return student_TD.sum(1)
    pairs = zip(student_TD.split(counts), anchor_TC.split(counts), strict=True)
    return torch.stack([mse_loss(_cosines(student_ND), _cosines(anchor_NC)) for student_ND, anchor_NC in pairs])


def relation_loss(
    student_BD: Tensor,
    teacher_BD: Tensor,
    mode: Relation = "arkd",
    beta: float = 1.0,
    group: dist.ProcessGroup | None = None,
) -> Tensor:
    """Distances between the summaries of all images of all ranks, the student's held against the teacher's.

    Euclidean distances are divided by their mean over all pairs, each side by its own. ``rkd``: mean over pairs of
    the smooth-L1 distance of the two. ``arkd``: only what goes the wrong way counts, pairs nearer than the teacher's
    median being too far apart for the student, and the others too near.

    Args:
        beta: where smooth L1 turns from square to straight.
        group: all of its ranks must call this, also those without images.

    Raises:
        ValueError: there is no such mode.

    Source: Park et al. 2019, "Relational Knowledge Distillation" (arXiv 1904.05068), section 3.2.1; the gates are
    those of SigLino's paper. Needs memory for a few [B, B] of all ranks' images, on every rank.
    """
    if mode not in get_args(Relation):
        raise ValueError(f"mode={mode!r}: not one of {', '.join(get_args(Relation))}")
    student_BD, teacher_BD = _precise(student_BD, teacher_BD)
    if len(student_BD) != len(teacher_BD):
        raise ValueError(f"{len(student_BD)} images of the student, {len(teacher_BD)} of the teacher")
    if dist.is_available() and dist.is_initialized():
        rows_BD = _AllRows.apply(torch.cat([student_BD, teacher_BD], 1), group)
        student_BD, teacher_BD = rows_BD.split([student_BD.shape[1], teacher_BD.shape[1]], 1)
    if len(student_BD) < 2:
        return student_BD[:0].sum()
    ours_P, theirs_P = _distances(student_BD), _distances(teacher_BD.detach())
    stray_P = ours_P - theirs_P
    if mode == "arkd":
        stray_P = torch.where(theirs_P < theirs_P.median(), stray_P, -stray_P).relu()
    return smooth_l1_loss(stray_P, torch.zeros_like(stray_P), beta=beta)


class _AllRows(torch.autograd.Function):
    """The rows of all ranks, in the ranks' order; each rank may have another number of them.

    Backward needs no communication: all ranks compute the same loss of the same rows, so that each holds the whole
    gradient already and keeps that of its own rows. It counts ranks-fold, for the average over ranks to be the sum.
    """

    @staticmethod
    def forward(ctx: Any, rows_BD: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ranks, rank = dist.get_world_size(group), dist.get_rank(group)
        count = torch.tensor([len(rows_BD)], device=rows_BD.device)
        counts = [torch.empty_like(count) for _ in range(ranks)]
        dist.all_gather(counts, count, group=group)
        sizes = torch.cat(counts).tolist()
        padded = pad(rows_BD, (0, 0, 0, max(sizes) - len(rows_BD)))
        parts = [torch.empty_like(padded) for _ in range(ranks)]
        dist.all_gather(parts, padded, group=group)
        ctx.ranks, ctx.first, ctx.count = ranks, sum(sizes[:rank]), len(rows_BD)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return grads[0].narrow(0, ctx.first, ctx.count) * ctx.ranks, None


def _distances(x_BD: Tensor) -> Tensor:
    """Euclidean distances of all pairs, over their mean: [B (B - 1) / 2]. Equal rows have distance and gradient 0."""
    # Distances know no origin, and around the mean the products are smallest and cancel least.
    products_BB = _products(x_BD - x_BD.detach().mean(0))
    square_B = products_BB.diagonal()
    square_BB = square_B[:, None] + square_B - 2 * products_BB
    first, second = torch.triu_indices(len(x_BD), len(x_BD), 1, device=x_BD.device)
    square_P = square_BB.flatten().index_select(0, first * len(x_BD) + second)
    apart_P = square_P > 0  # the root's slope is infinite at 0, and rounding goes below
    distance_P = square_P.where(apart_P, 1).sqrt().where(apart_P, 0)
    # A student begins with one summary for all images: what rounding leaves of their distances is no relation.
    mean = distance_P.mean().clamp(min=NOISE * x_BD.detach().norm(dim=1).mean())
    return distance_P / mean.where(mean > 0, 1)


def _cosines(x_ND: Tensor) -> Tensor:
    """Of all pairs of rows, [N, N]."""
    return _products(normalize(x_ND, dim=1))


def _products(x_ND: Tensor) -> Tensor:
    """x x^T in x's own precision, autocast or not."""
    with torch.autocast(x_ND.device.type, enabled=False):
        return x_ND @ x_ND.T


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of every row, over all but the first dimension."""
    if student.shape != teacher.shape:
        raise ValueError(f"student {list(student.shape)} and teacher {list(teacher.shape)} must have one shape")
    student, teacher = _precise(student, teacher)
    return (student - teacher).square().flatten(1).mean(1)


def _precise(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both in one precision, fp32 at least; the teacher without a gradient."""
    dtype = torch.promote_types(torch.promote_types(student.dtype, teacher.dtype), torch.float32)
    return student.to(dtype), teacher.detach().to(dtype)


def _lengths(lengths: Sequence[int], *tokens: int) -> list[int]:
    counts = list(lengths)
    if set(tokens) != {sum(counts)} or min(counts, default=1) < 1:
        raise ValueError(
            f"lengths {counts} must be positive and add up to the patches, {' and '.join(map(str, tokens))}"
        )
    return counts
