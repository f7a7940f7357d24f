"""The settings of the loss: its terms, their weights, and the errors and spaces that it is made of."""

from dataclasses import dataclass
from enum import StrEnum

from siglino_core.config.settings import setting


class Relation(StrEnum):
    ARKD = "arkd"
    RKD = "rkd"
    NONE = "none"


class Error(StrEnum):
    """How far the student's tokens are from a teacher's."""

    MSE = "mse"
    SMOOTH_L1 = "smooth_l1"
    COSINE = "cosine"
    COSINE_SMOOTH_L1 = "cosine_smooth_l1"


class Normalize(StrEnum):
    """The space in which tokens are compared; heads predict in the teacher's own."""

    PHI_S = "phi_s"
    CHANNEL = "channel"
    LAYER_NORM = "layer_norm"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """The terms of the loss, and their weights."""

    summary: float = setting(1.0, "weight of the summaries' errors", ge=0)
    patch: float = setting(1.0, "weight of the patches' errors", ge=0)
    register: float = setting(1.0, "weight of the registers' errors, of teachers that have registers", ge=0)
    weights: list[float] = setting(
        [], "weight of each teacher's terms, in the order of targets.teachers; empty: 1 for each", ge=0
    )
    summary_error: Error = setting(
        Error.MSE, "error of a summary: mse, smooth_l1, cosine (1 - cos), or cosine_smooth_l1, a mix of the two"
    )
    patch_error: Error = setting(Error.MSE, "error of a patch, likewise")
    cosine_share: float = setting(
        0.9, "weight of the cosine in cosine_smooth_l1; the smooth L1's is 1 less that", ge=0, le=1
    )
    smooth_l1_beta: float = setting(
        1.0, "error at which smooth_l1 and cosine_smooth_l1 turn from square to linear", ge=1e-9
    )
    summary_normalize: Normalize = setting(
        Normalize.PHI_S,
        "what both sides of a summary's error go through: phi_s, one scale for a teacher; channel, a mean and a scale "
        "for each channel; layer_norm, each token by itself; none",
    )
    patch_normalize: Normalize = setting(Normalize.PHI_S, "what both sides of a patch's error go through, likewise")
    drop: float = setting(
        0.0,
        "teacher dropping: an image always keeps the teacher with the largest error; each other one is left out with "
        "this probability",
        ge=0,
        le=1,
    )
    relation: Relation = setting(
        Relation.ARKD,
        "rkd: match the teacher's distances between images; arkd: only where they are off the wrong way; none",
    )
    relation_weight: float = setting(1.0, "weight of that loss", ge=0)
    relation_packs: int = setting(
        0,
        "packs of a step whose images that loss compares with each other, 0: all; so many in a row, which "
        "pack.match=step sorts by cost. Where they take several passes, each goes forward twice",
        ge=0,
        le=1 << 16,
    )
    relation_beta: float = setting(1.0, "error at which its smooth L1 turns from square to linear", ge=1e-9)
    gram: float = setting(
        0.0,
        "weight of Gram anchoring: keeps the cosines between an image's patches as an earlier student has them",
        ge=0,
    )
    gram_checkpoint: str = setting(
        "",
        "that earlier student, of the same patch size: an exported folder, a checkpoint, a file, a URL or a hub id",
        shapes=False,
    )

    @property
    def relates(self) -> bool:
        """Whether images are compared with each other."""
        return self.relation is not Relation.NONE and self.relation_weight > 0

    def __post_init__(self) -> None:
        if self.weights and not any(self.weights):
            raise ValueError(f"weights: {self.weights}: no teacher weighs anything; one above 0 is needed")
        if not (self.summary or self.patch or self.register or self.relates or self.gram):
            raise ValueError(
                "summary, patch, register, gram: all are 0, and relation compares nothing, so that there is nothing to "
                "learn; set one of them above 0"
            )
        if self.gram > 0 and not self.gram_checkpoint:
            raise ValueError(
                f"gram: {self.gram:g} needs gram_checkpoint, the student whose patches anchor this one's; 0 needs none"
            )
