"""What an image weighs in a training's gradient: the same, whatever its part of the mixture and its resolution."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.packing import Pack
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.objective import Objective
from siglino_core.models import Features
from siglino_core.teachers.teacher import Targets
from tests.siglino_core.distillation.packing.high import high, plan_of
from tests.siglino_core.distillation.packing.measures import images_of_parts, weights

IMAGES, STEPS, RANKS = 40_000, 15, 32
PHI = PhiS.fit(torch.tensor([[0.0], [1.0], [2.0]]))
OBJECTIVE = Objective(
    config=LossConfig(relation=Relation.NONE), statistics={"teacher": Statistics(summary=PHI, patch=PHI)}
)


def gradient(packs: Sequence[Pack], images: float, parts: int) -> tuple[np.ndarray, np.ndarray]:
    """One rank's gradients of the loss, by the part: of the summaries' term and of the patches'.

    The student says one number of every image of a part, and the teacher 0: the gradient of that number is the sum of
    its images' weights, but for a factor that all parts share.
    """
    part_B = torch.from_numpy(np.concatenate([p.parts_N for p in packs])).long()
    counts = [int(h) * int(w) for p in packs for h, w in p.grids_N2]
    summary_G, patch_G = (torch.ones(parts, requires_grad=True) for _ in range(2))
    summary_BD = summary_G[part_B, None]
    patch_ND = patch_G[part_B, None].repeat_interleave(torch.tensor(counts), 0)
    summaries = {"siglino": summary_BD, "teacher": summary_BD}
    features = Features(patches={"teacher": patch_ND}, summaries=summaries, registers={})
    targets = {"teacher": Targets(torch.zeros_like(summary_BD), torch.zeros_like(patch_ND))}
    OBJECTIVE(features, targets, counts, images=images).total.backward()
    assert summary_G.grad is not None
    assert patch_G.grad is not None
    return summary_G.grad.numpy(), patch_G.grad.numpy()


def test_every_parts_images_weigh_the_same() -> None:
    plan = plan_of(high(IMAGES))
    parts = len(plan.mixture.parts)
    total_2G = np.zeros((2, parts))
    for step in range(STEPS):
        images = float(plan.sums(step)[2].sum()) / RANKS  # as a rank has it
        for rank in range(RANKS):
            total_2G += np.stack(gradient(plan.packs_for(step, rank, RANKS), images, parts)) / RANKS
    images_SG = images_of_parts(plan, range(STEPS))
    weight_2G = total_2G / images_SG.sum(axis=0)
    for weight_G in weight_2G / np.average(weight_2G, axis=1, weights=images_SG.sum(axis=0))[:, None]:
        assert weight_G == pytest.approx(np.ones(parts), abs=0.005)  # asked for: 0.02
        assert weight_G == pytest.approx(weights(images_SG), abs=1e-4)
