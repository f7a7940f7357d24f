"""Which experts get which tokens, by layer and by kind of token: CLS, registers, patches.

Legend: T tokens, k experts a token, L layers, K kinds, E experts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import Array, class_ids, plain
from siglino_core.statistics.diversity import effective_number

KINDS = ("cls", "register", "patch")  # their numbers are their places


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpertLoad:
    """Shares of what routers chose.

    Attributes:
        share_LKE: of the choices of a layer for a kind of token, fp64; NaN where there were no such tokens.
        effective_LK: how many equally loaded experts would be as diverse, 1 to E; 0 where there were no such tokens.
        unused_L: experts that no token of any kind was given, int64.
    """

    share_LKE: np.ndarray
    effective_LK: np.ndarray
    unused_L: np.ndarray

    @property
    def entropy_LK(self) -> np.ndarray:
        """Of the shares, 0 (one expert has all) to 1 (all have as much); NaN where there were no such tokens."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.effective_LK > 0, np.log(self.effective_LK) / np.log(self.share_LKE.shape[2]), np.nan)


def token_kinds(registers: int, patches: Sequence[int]) -> np.ndarray:
    """The kind of each token of a pack, int64 [T]: of each image CLS, its registers, its patches.

    Args:
        patches: of each image.
    """
    prefix = [0, *[1] * registers]
    return np.concatenate([np.array(prefix + [2] * p, np.int64) for p in patches] or [np.empty(0, np.int64)])


def expert_counts(chosen: Array, kinds: Array, experts: int) -> np.ndarray:
    """How often each expert was chosen for each kind of token, int64 [K, E]; counts of packs add up.

    Args:
        chosen: the experts of each token of one layer, [T, k].
        kinds: places in ``KINDS``, [T], as :func:`token_kinds` gives them.

    Raises:
        DataError: experts or kinds out of range, or not one row a token.
    """
    chosen_Tk = plain(chosen)
    if chosen_Tk.ndim != 2:
        raise DataError(f"choices of shape {chosen_Tk.shape}: they need [tokens, experts a token]")
    kinds_T = class_ids(kinds, "kinds of tokens", rows=len(chosen_Tk), num_classes=len(KINDS))
    flat = class_ids(chosen_Tk.reshape(-1), "choices", rows=chosen_Tk.size, num_classes=experts)
    cells = np.repeat(kinds_T, chosen_Tk.shape[1]) * experts + flat
    return np.bincount(cells, minlength=len(KINDS) * experts).reshape(len(KINDS), experts)


def expert_load(counts: Array) -> ExpertLoad:
    """The loads that counts make.

    Args:
        counts: int [L, K, E], one layer's from :func:`expert_counts`.

    Raises:
        DataError: another shape, or counts below 0.
    """
    counts_LKE = plain(counts)
    if counts_LKE.ndim != 3 or counts_LKE.shape[1] != len(KINDS) or (counts_LKE < 0).any():
        raise DataError(f"counts of shape {counts_LKE.shape}: they need [layers, {len(KINDS)}, experts], none below 0")
    total_LK1 = counts_LKE.sum(2, keepdims=True)
    return ExpertLoad(
        share_LKE=np.where(total_LK1 > 0, counts_LKE / np.maximum(total_LK1, 1), np.nan),
        effective_LK=np.array([[effective_number(kind_E) for kind_E in layer_KE] for layer_KE in counts_LKE]).reshape(
            counts_LKE.shape[:2]
        ),
        unused_L=(counts_LKE.sum(1) == 0).sum(1),
    )
