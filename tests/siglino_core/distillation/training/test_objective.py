"""The objective: terms that add up, equal to losses computed by hand, for every kind of teacher."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from siglino_core.config import LossConfig, Relation
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.losses import relation_loss
from siglino_core.distillation.training.objective import Loss, Objective
from siglino_core.models import Features
from siglino_core.teachers.teacher import Targets

COUNTS = [3, 1, 4]
CONFIG = LossConfig(summary=0.5, patch=2.0, register=3.0, relation=Relation.RKD, relation_weight=0.25)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def statistics(dim: int, seed: int) -> Statistics:
    return Statistics(summary=PhiS.fit(2 * random(50, dim, seed=seed)), patch=PhiS.fit(3 * random(50, dim, seed=seed)))


STATISTICS = {"full": statistics(8, 1), "flat": replace(statistics(4, 2), patch=None)}


def outputs(seed: int) -> Features:
    """The student's, which need a gradient."""
    found = Features({}, {}, {})
    for name, dim in (("siglino", 6), ("full", 8), ("flat", 4)):
        found.patches[name] = random(8, dim, seed=seed).requires_grad_()
        found.summaries[name] = random(3, dim, seed=seed + 1).requires_grad_()
        found.registers[name] = random(3, 2, dim, seed=seed + 2).requires_grad_()
    return found


FULL = Targets(random(3, 8, seed=10), random(8, 8, seed=11), random(3, 2, 8, seed=12))
FLAT = Targets(random(3, 4, seed=13), None)


def loss(config: LossConfig = CONFIG, *, images: float = 3.0, passes: int = 1) -> tuple[Loss, Features]:
    student = outputs(20)
    objective = Objective(config=config, statistics=STATISTICS)
    return objective(student, {"full": FULL, "flat": FLAT}, COUNTS, images=images, passes=passes), student


@torch.no_grad()
def by_hand(student: Features) -> dict[str, float]:
    phi = {name: s.summary.phi for name, s in STATISTICS.items()}
    full = STATISTICS["full"].patch
    assert full is not None
    assert FULL.patches is not None
    assert FULL.registers is not None
    squares_N = (student.patches["full"] - FULL.patches).square().mean(1) / full.phi**2
    return {
        "full.summary": float((student.summaries["full"] - FULL.summaries).square().mean() / phi["full"] ** 2),
        "flat.summary": float((student.summaries["flat"] - FLAT.summaries).square().mean() / phi["flat"] ** 2),
        "full.patch": float(torch.stack([x.mean() for x in squares_N.split(COUNTS)]).mean()),
        "full.register": float((student.registers["full"] - FULL.registers).square().mean()),
        "full.relation": float(relation_loss(student.summaries["full"], FULL.summaries, "rkd")),
        "flat.relation": float(relation_loss(student.summaries["flat"], FLAT.summaries, "rkd")),
    }


def test_terms_are_those_computed_by_hand() -> None:
    found, student = loss()
    wanted = by_hand(student)
    terms = {k: float(v) for k, v in found.terms.items() if k != "loss" and not k.endswith("_cosine")}
    assert terms == pytest.approx(wanted, rel=1e-5)


def test_they_add_up_with_their_weights() -> None:
    found, student = loss()
    weight = {"summary": 0.5, "patch": 2.0, "register": 3.0, "relation": 0.25}
    total = sum(weight[key.partition(".")[2]] * value for key, value in by_hand(student).items())
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)
    assert float(found.terms["loss"]) == float(found.total.detach())
    assert not any(term.requires_grad for term in found.terms.values())


def test_the_gradient_is_that_of_the_total() -> None:
    found, student = loss(replace(CONFIG, relation=Relation.NONE))
    found.total.backward()
    assert FULL.registers is not None
    wanted = 3.0 * 2 * (student.registers["full"] - FULL.registers).detach() / (3 * 2 * 8)
    torch.testing.assert_close(student.registers["full"].grad, wanted)
    assert student.patches["flat"].grad is None


def test_an_images_own_errors() -> None:
    found, _ = loss()
    alone, _ = loss(replace(CONFIG, relation=Relation.NONE))
    assert found.per_image_B.shape == (3,)
    assert not found.per_image_B.requires_grad
    assert float(found.per_image_B.mean()) == pytest.approx(float(alone.total.detach()), rel=1e-5)
    assert found.per_image_B.std() > 0


def test_a_summary_only_teacher_has_no_other_terms() -> None:
    found, _ = loss()
    assert {k for k in found.terms if k.startswith("flat")} == {"flat.summary", "flat.summary_cosine", "flat.relation"}
    assert "full.patch_cosine" in found.terms


def test_cosines() -> None:
    found, student = loss()
    wanted = cosine_similarity(student.summaries["full"], FULL.summaries).mean()
    assert float(found.terms["full.summary_cosine"]) == pytest.approx(float(wanted), rel=1e-5)


def test_without_relations_there_is_no_such_term() -> None:
    found, _ = loss(replace(CONFIG, relation=Relation.NONE))
    assert not [k for k in found.terms if k.endswith("relation")]


def test_a_pass_pays_its_part_of_the_step() -> None:
    whole, _ = loss()
    part, _ = loss(images=12.0, passes=4)
    for key in ("full.patch", "flat.summary", "full.relation", "full.summary_cosine", "loss"):
        assert float(part.terms[key]) == pytest.approx(float(whole.terms[key]) / 4, rel=1e-5)
