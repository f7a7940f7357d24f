"""How well a plan packs and balances: padding, and how unequal the ranks' work is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from siglino_core.distillation.packing.plan import Plan


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Of some steps, over so many ranks.

    Attributes:
        padding: share of the packs' capacity that no image fills.
        token_imbalance: max / mean - 1 of the ranks' tokens in a step, averaged over the steps.
        flop_imbalance: the same of their cost.
        waiting: 1 - mean / max of the ranks' cost in a pass, averaged over the passes: the share of a pass's time that
            the ranks wait for the slowest one.
        images_per_pack: mean.
    """

    padding: float
    token_imbalance: float
    flop_imbalance: float
    waiting: float
    images_per_pack: float


def measure(plan: Plan, steps: Iterable[int], world: int, at_once: int = 1) -> Measures:
    """What the plan gives to ``world`` ranks in some steps, ``at_once`` packs a pass; no image is read.

    Raises:
        ValueError: no steps, or ``world`` does not divide the packs of a step.
    """
    packs = plan.config.packs_per_step
    if world < 1 or packs % world:
        raise ValueError(f"packs_per_step={packs} over {world} ranks: every rank holds as many")
    sums = [plan.sums(step) for step in steps]
    if not sums:
        raise ValueError("no steps to measure")
    tokens_SV, cost_SV, images_SV = (np.stack(values) for values in zip(*sums, strict=True))
    return Measures(
        padding=1 - float(tokens_SV.mean()) / plan.config.capacity,
        token_imbalance=imbalance(_of_ranks(tokens_SV, world)),
        flop_imbalance=imbalance(_of_ranks(cost_SV, world)),
        waiting=waiting(cost_SV, world, at_once),
        images_per_pack=float(images_SV.mean()),
    )


def imbalance(work_SW: np.ndarray) -> float:
    """max / mean - 1 of each step's ranks, averaged over the steps: the time that ranks wait for the slowest one."""
    return float((work_SW.max(axis=1) / work_SW.mean(axis=1) - 1).mean())


def padded_to_longest(tokens: Sequence[int] | np.ndarray, batch: int) -> float:
    """Padding if images are batched as they come, each batch padded to its longest."""
    tokens_XB = np.asarray(tokens)[: len(tokens) // batch * batch].reshape(-1, batch)
    return 1 - float(tokens_XB.sum() / (tokens_XB.max(axis=1).sum() * batch))


def greedy(tokens: Sequence[int] | np.ndarray, *, capacity: int, max_images: int) -> float:
    """Padding if images are packed as they come, a new pack begun when the next one does not fit."""
    packs, left, slots = 0, 0, 0
    for n in np.asarray(tokens).tolist():
        if n > left or slots == 0:
            packs, left, slots = packs + 1, capacity, max_images
        left, slots = left - n, slots - 1
    return 1 - float(np.sum(tokens)) / (packs * capacity)


def waiting(cost_SV: np.ndarray, world: int, at_once: int = 1) -> float:
    """1 - mean / max of the ranks' cost in a pass of ``at_once`` packs each, averaged over the steps' passes."""
    cost_SJW = cost_SV.reshape(len(cost_SV), -1, world)
    cost_SPW = np.add.reduceat(cost_SJW, np.arange(0, cost_SJW.shape[1], at_once), axis=1)
    return float(1 - (cost_SPW.mean(axis=2) / cost_SPW.max(axis=2)).mean())


def images_of_parts(plan: Plan, steps: Iterable[int]) -> np.ndarray:
    """How many images of each part are in each step: int64 [S, G]."""
    parts = len(plan.mixture.parts)
    packs_S = [plan.packs_for(step) for step in steps]
    return np.stack([np.bincount(np.concatenate([p.parts_N for p in s]), minlength=parts) for s in packs_S])


def weights(images_SG: np.ndarray) -> np.ndarray:
    """What an image of each part weighs over some steps, if a step divides by its own images: [G], 1 in the mean."""
    weight_G = (images_SG / images_SG.sum(axis=1, keepdims=True)).sum(axis=0) / images_SG.sum(axis=0)
    return weight_G * images_SG.sum() / len(images_SG)


def _of_ranks(work_SV: np.ndarray, world: int) -> np.ndarray:
    """Sums over each rank's packs v with v mod world = rank: [S, world]."""
    return work_SV.reshape(len(work_SV), -1, world).sum(axis=1)
