"""What the student pays for each image: errors of summaries, registers and patches. Relations are in `relations`.

Every rank holds some of a step's images. :func:`mean_over_images` is such that the **average over ranks**, of the
values and of the parameters' gradients, is what one process would get from all images: an image weighs the same
whatever its resolution, its rank, or how many others share that rank. A rank without images takes part: its value and
gradients are 0.

B images, T patches (all images' in a row), R registers, D channels. Inputs may be bf16: all is computed in fp32, or in
fp64 if they are. No gradient flows to the teacher.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize


def mean_over_images(errors_B: Tensor, images: float) -> Tensor:
    """This rank's part of the mean over the step's images.

    Args:
        images: of the whole step over all ranks, divided by the number of ranks.
    """
    return errors_B.sum() / (images or 1.0)  # no image anywhere: 0


def summary_errors(student_BD: Tensor, teacher_BD: Tensor, *, phi: float = 1.0) -> Tensor:
    """Mean squared error of each image's channels, over phi^2: [B], 1 in the mean for a student that predicts the mean.

    Args:
        student_BD, teacher_BD: summaries, or patches [T, D], or registers [B, R, D]. Registers are exempt from PHI-S:
            DINOv3's second one is multimodal, and standardising it destabilises training.
        phi: of the teacher's summaries (`siglino_core.distillation.targets.phi_s.PhiS`), which makes the error that of
            standardised ones: their rotation keeps distances.

    Source: Ranzinger et al. 2024 (arXiv 2410.01680). Units: the variance of one of the teacher's channels.
    """
    return _squared_error(student_BD, teacher_BD) / phi**2


def per_image(values_T: Tensor, lengths: Sequence[int]) -> Tensor:
    """The mean of each image's own values, such as its patches' errors: [B].

    Args:
        lengths: values of each image, in the order in which they stand.

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
        lengths: as in :func:`per_image`; raises as it does.

    Source: Siméoni et al. 2025, "DINOv3" (arXiv 2508.10104), section 4.2, there as a sum over the pairs: a mean weighs
    images of all resolutions the same.
    """
    student_TD, anchor_TC = precise(student_TD, anchor_TC)
    counts = _lengths(lengths, len(student_TD), len(anchor_TC))
    if not counts:
        return student_TD.sum(1)
    pairs = zip(student_TD.split(counts), anchor_TC.split(counts), strict=True)
    return torch.stack([mse_loss(_cosines(student_ND), _cosines(anchor_NC)) for student_ND, anchor_NC in pairs])


def _cosines(x_ND: Tensor) -> Tensor:
    """Of all pairs of rows, [N, N]."""
    return products(normalize(x_ND, dim=1))


def products(x_ND: Tensor) -> Tensor:
    """x x^T in x's own precision, autocast or not."""
    with torch.autocast(x_ND.device.type, enabled=False):
        return x_ND @ x_ND.T


def _squared_error(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error of every row, over all but the first dimension."""
    if student.shape != teacher.shape:
        raise ValueError(f"student {list(student.shape)} and teacher {list(teacher.shape)} must have one shape")
    student, teacher = precise(student, teacher)
    return (student - teacher).square().flatten(1).mean(1)


def precise(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
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
