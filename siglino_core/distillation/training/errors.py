"""Kinds of errors that the field compares, of a teacher's tokens of one type.

A token's error is a number; an image's is its summary's, or the mean over its patches. All is computed in fp32, or in
fp64 if inputs are. No gradient flows to the teacher.

T tokens (or B summaries), C a teacher's width.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, smooth_l1_loss

from siglino_core.config import Error, LossConfig, Normalize
from siglino_core.distillation.targets.normalize import Normalizer
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.training.losses import summary_errors


def explains(kind: Error, normalize: Normalize) -> bool:
    """Whether the error is a share of the teacher's variance: 1 for a student that predicts the mean."""
    return kind is Error.MSE and normalize in (Normalize.PHI_S, Normalize.CHANNEL)


@dataclass(frozen=True, eq=False, kw_only=True)
class TokenErrors:
    """The error of every token of one type of one teacher: [T, C] twice to [T].

    ``mse``: the channels' mean squared error. ``smooth_l1``: their mean Huber-like error, quadratic below ``beta``.
    ``cosine``: 1 - cos, whatever the lengths. ``cosine_smooth_l1``: the two mixed, the cosine with ``cosine_share``.
    Each of what ``normalize`` makes of both sides; of a token against itself it is 0.

    Source: AM-RADIO (arXiv 2312.06709, section 3, "Loss formulation"): cosine for summaries, 0.9 cosine + 0.1 smooth L1
    for patches; Theia (arXiv 2407.20179) the latter, over an image's flattened patches at once; UNIC (arXiv 2408.05088)
    both halved, for both.
    """

    kind: Error
    normalize: Normalizer
    phi: float
    beta: float = 1.0
    cosine_share: float = 0.9

    @classmethod
    def of_summaries(cls, config: LossConfig, fitted: PhiS, teacher: str) -> "TokenErrors":
        """As ``config`` asks for a teacher's summaries; raises as `Normalizer`."""
        return cls._of(config, config.summary_error, config.summary_normalize, fitted, f"{teacher}'s summaries")

    @classmethod
    def of_patches(cls, config: LossConfig, fitted: PhiS, teacher: str) -> "TokenErrors":
        """As ``config`` asks for a teacher's patches; raises as `Normalizer`."""
        return cls._of(config, config.patch_error, config.patch_normalize, fitted, f"{teacher}'s patches")

    @classmethod
    def _of(cls, config: LossConfig, kind: Error, normalize: Normalize, fitted: PhiS, name: str) -> "TokenErrors":
        return cls(
            kind=kind,
            normalize=Normalizer(normalize, fitted, name=name),
            phi=fitted.phi,
            beta=config.smooth_l1_beta,
            cosine_share=config.cosine_share,
        )

    def __call__(self, student_TC: Tensor, teacher_TC: Tensor) -> Tensor:
        """The errors, [T].

        Raises:
            ValueError: the two differ in shape.
        """
        if self.kind is Error.MSE and self.normalize.kind is Normalize.PHI_S:
            return summary_errors(student_TC, teacher_TC, phi=self.phi)  # a rotation keeps distances
        if student_TC.shape != teacher_TC.shape:
            raise ValueError(f"student {list(student_TC.shape)} and teacher {list(teacher_TC.shape)}: one shape")
        dtype = torch.promote_types(torch.promote_types(student_TC.dtype, teacher_TC.dtype), torch.float32)
        ours_TC = self.normalize(student_TC.to(dtype))
        theirs_TC = self.normalize(teacher_TC.detach().to(dtype))
        if self.kind is Error.MSE:
            return (ours_TC - theirs_TC).square().mean(1)
        if self.kind is Error.COSINE:
            return 1 - cosine_similarity(ours_TC, theirs_TC, dim=1)
        absolute_T = smooth_l1_loss(ours_TC, theirs_TC, reduction="none", beta=self.beta).mean(1)
        if self.kind is Error.SMOOTH_L1:
            return absolute_T
        angular_T = 1 - cosine_similarity(ours_TC, theirs_TC, dim=1)
        return self.cosine_share * angular_T + (1 - self.cosine_share) * absolute_T
