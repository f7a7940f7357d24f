"""The objective: terms that add up, equal to losses computed by hand, and over ranks those of one process."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize, smooth_l1_loss

from siglino_core.config import Error, LossConfig, Normalize, Relation
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.targets.statistics import Statistics
from siglino_core.distillation.training.objective import Loss, Objective
from siglino_core.distillation.training.relations import relation_loss
from siglino_core.models import Features
from siglino_core.teachers.teacher import Targets
from tests.ranks import on_ranks

COUNTS = [3, 1, 4]
GRAM = {"gram": 1.5, "gram_checkpoint": "of an earlier training"}
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


ANCHOR_ND = random(8, 5, seed=14)  # of another width than the student


def loss(
    config: LossConfig = CONFIG,
    *,
    images: float = 3.0,
    weights: dict[str, float] | None = None,
    draws_MB: Tensor | None = None,
) -> tuple[Loss, Features]:
    """Of a pass that is a step's only one."""
    student, targets = outputs(20), {"full": FULL, "flat": FLAT}
    objective = Objective(config=config, statistics=STATISTICS, weights=weights or {})
    relations = None
    if config.relates:
        pairs = {name: (student.summaries[name], target.summaries) for name, target in targets.items()}
        (relations,) = objective.relations([pairs], [3], packs=1)
    anchor_ND = ANCHOR_ND if config.gram else None
    given = {"relations": relations, "anchor_ND": anchor_ND, "draws_MB": draws_MB}
    return objective(student, targets, COUNTS, images=images, **given), student


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


@pytest.mark.parametrize("changes", [{"relation": Relation.NONE}, {"relation_weight": 0.0}])
def test_without_relations_there_is_no_such_term(changes: dict[str, Any]) -> None:
    found, _ = loss(replace(CONFIG, **changes))
    assert not [k for k in found.terms if k.endswith("relation")]


def test_groups_of_packs_weigh_the_same() -> None:
    """Of two packs, with two images and one, the second has no relation."""
    student, objective = outputs(20), Objective(config=replace(CONFIG, relation_packs=1), statistics=STATISTICS)
    (relations,) = objective.relations([{"full": (student.summaries["full"], FULL.summaries)}], [2, 1], packs=2)
    relation = relations["full"](student.summaries["full"])
    wanted = relation_loss(student.summaries["full"][:2], FULL.summaries[:2], "rkd") / 2
    torch.testing.assert_close(relation, wanted)


def test_a_pass_pays_its_part_of_the_step() -> None:
    whole, _ = loss()
    part, _ = loss(images=12.0)
    for key in ("full.patch", "flat.summary", "full.summary_cosine"):
        assert float(part.terms[key]) == pytest.approx(float(whole.terms[key]) / 4, rel=1e-5)


def test_teachers_weigh_what_they_are_given() -> None:
    (found, student), (plain, _) = loss(weights={"flat": 0.5}), loss()
    by_kind = {"summary": 0.5, "patch": 2.0, "register": 3.0, "relation": 0.25}
    of_teacher = {"full": 1.0, "flat": 0.5}
    total = sum(of_teacher[k.partition(".")[0]] * by_kind[k.partition(".")[2]] * v for k, v in by_hand(student).items())
    assert float(found.total.detach()) == pytest.approx(total, rel=1e-5)
    assert {k: v for k, v in found.terms.items() if k != "loss"} == {
        k: v for k, v in plain.terms.items() if k != "loss"
    }


def test_dropped_teachers_cost_nothing_and_are_measured_all_the_same() -> None:
    draws_MB = torch.tensor([[0.1, 0.9, 0.1], [0.1, 0.1, 0.9]], dtype=torch.float64)
    config = replace(CONFIG, drop=0.5, relation=Relation.NONE)
    (found, student), (plain, _) = loss(config, draws_MB=draws_MB), loss(replace(config, drop=0.0))
    squares_N = (student.patches["full"] - some(FULL.patches)).square().mean(1)
    phi = {name: s.summary.phi for name, s in STATISTICS.items()}
    summary = {
        name: (student.summaries[name] - of.summaries).square().mean(1) / phi[name] ** 2
        for name, of in (("full", FULL), ("flat", FLAT))
    }
    patch_B = torch.stack([x.mean() for x in squares_N.split(COUNTS)]) / some(STATISTICS["full"].patch).phi ** 2
    register_B = (student.registers["full"] - some(FULL.registers)).square().mean((1, 2))
    full_B, flat_B = 0.5 * summary["full"] + 2.0 * patch_B + 3.0 * register_B, 0.5 * summary["flat"]
    assert (full_B > flat_B).all()  # so that the other one may be dropped: its draws are below 0.5 twice
    wanted = (4 / 3 * (full_B + torch.tensor([0.0, 0, 1]) * flat_B)).mean()  # of two teachers 1.5 stay in the mean
    torch.testing.assert_close(found.total, wanted)
    assert (float(found.terms["full.kept"]), float(found.terms["flat.kept"])) == pytest.approx((1, 1 / 3))
    torch.testing.assert_close(found.per_image_B, plain.per_image_B)
    for name, term in plain.terms.items():
        if name != "loss":
            assert torch.equal(found.terms[name], term)
    found.total.backward()
    gradient = student.summaries["flat"].grad
    assert gradient is not None
    assert gradient.any(1).tolist() == [False, False, True]


def test_other_errors_in_other_spaces() -> None:
    config = LossConfig(
        summary_error=Error.COSINE, summary_normalize=Normalize.NONE, patch_normalize=Normalize.CHANNEL,
        patch_error=Error.SMOOTH_L1, smooth_l1_beta=0.5, relation=Relation.NONE,
    )  # fmt: skip
    found, student = loss(config)
    cosine = 1 - cosine_similarity(student.summaries["full"], FULL.summaries).mean()
    assert float(found.terms["full.summary"]) == pytest.approx(float(cosine), rel=1e-5)
    variance_C = some(some(STATISTICS["full"].patch).variance).float()
    apart_NC = (student.patches["full"] - some(FULL.patches)) / variance_C.sqrt()
    absolute_N = smooth_l1_loss(apart_NC, torch.zeros_like(apart_NC), reduction="none", beta=0.5).mean(1)
    wanted = torch.stack([x.mean() for x in absolute_N.split(COUNTS)]).mean()
    assert float(found.terms["full.patch"]) == pytest.approx(float(wanted), rel=1e-5)


def some(x: Any) -> Any:
    assert x is not None
    return x


def test_gram_anchoring_holds_the_students_own_patches() -> None:
    (found, student), (without, _) = loss(replace(CONFIG, **GRAM)), loss()
    found.total.backward()
    cosines = [[normalize(x, dim=1) @ normalize(x, dim=1).T for x in pair] for pair in split_patches(student)]
    wanted = torch.stack([(ours - theirs).square().mean() for ours, theirs in cosines]).detach()
    torch.testing.assert_close(found.terms["siglino.gram"], wanted.mean())
    torch.testing.assert_close(found.total.detach(), without.total.detach() + 1.5 * wanted.mean())
    torch.testing.assert_close(found.per_image_B, without.per_image_B + 1.5 * wanted)
    gradient = student.patches["siglino"].grad
    assert gradient is not None
    assert gradient.abs().max() > 0
    assert gradient[COUNTS[0]].abs().max() < 1e-12  # of an image of one patch, which has no pairs
    assert "siglino.gram" not in without.terms


def split_patches(student: Features) -> list[tuple[Tensor, Tensor]]:
    return list(zip(student.patches["siglino"].split(COUNTS), ANCHOR_ND.split(COUNTS), strict=True))


# Over ranks: a student that is one matrix a teacher, in fp64.

LENGTHS = [3, 1, 5, 2, 4, 1, 6]
SPLITS = [(5, 2), (1, 6), (7, 0), (0, 7)]  # images of two ranks
RANKED = {
    "per image": LossConfig(summary=0.5, patch=2.0, register=3.0, relation=Relation.NONE),
    "arkd": LossConfig(relation=Relation.ARKD, relation_beta=0.3, relation_weight=2.0),
    "rkd": LossConfig(summary=0, patch=0, register=0, relation=Relation.RKD),
    "gram": LossConfig(summary=0, patch=0, register=0, relation=Relation.NONE, gram=1.5, gram_checkpoint="earlier"),
}


@dataclass(frozen=True, eq=False)
class Tokens:
    """What a network says of images of LENGTHS patches, fp64."""

    summary_BD: Tensor
    patch_TD: Tensor
    register_BRD: Tensor

    @classmethod
    def random(cls, seed: int, dim: int) -> "Tokens":
        images, patches = len(LENGTHS), sum(LENGTHS)
        shapes = [(images, dim), (patches, dim), (images, 2, dim)]
        return cls(*(random(*shape, seed=seed + i).double() for i, shape in enumerate(shapes)))

    def images(self, first: int, last: int) -> "Tokens":
        patches = slice(sum(LENGTHS[:first]), sum(LENGTHS[:last]))
        return Tokens(self.summary_BD[first:last], self.patch_TD[patches], self.register_BRD[first:last])


INPUTS, ANCHOR = Tokens.random(30, 4), Tokens.random(40, 7)
TEACHERS = {"full": Tokens.random(50, 8), "flat": Tokens.random(60, 4)}
WIDTHS = {"siglino": 6, "full": 8, "flat": 4}


def of_images(config: LossConfig, split: Sequence[int], rank: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The terms of a rank's images of a step, and the matrices' gradients."""
    first, last = sum(split[:rank]), sum(split[: rank + 1])
    weights = {n: random(4, w, seed=70 + i).double().requires_grad_() for i, (n, w) in enumerate(WIDTHS.items())}
    x = INPUTS.images(first, last)
    student = Features({}, {}, {})
    for name, weight_KD in weights.items():
        student.summaries[name] = x.summary_BD @ weight_KD
        student.patches[name] = x.patch_TD @ weight_KD
        student.registers[name] = x.register_BRD @ weight_KD
    told = {name: of.images(first, last) for name, of in TEACHERS.items()}
    targets = {
        "full": Targets(told["full"].summary_BD, told["full"].patch_TD, told["full"].register_BRD),
        "flat": Targets(told["flat"].summary_BD, None),
    }
    objective = Objective(config=config, statistics=STATISTICS)
    relations = None
    if config.relates:
        pairs = {name: (student.summaries[name], target.summaries) for name, target in targets.items()}
        (relations,) = objective.relations([pairs], split, packs=len(split))
    found = objective(
        student,
        targets,
        LENGTHS[first:last],
        images=len(LENGTHS) / len(split),
        relations=relations,
        anchor_ND=ANCHOR.images(first, last).patch_TD if config.gram else None,
    )
    found.total.backward()
    gradients = {n: w.grad if w.grad is not None else torch.zeros_like(w) for n, w in weights.items()}
    return {n: t.double() for n, t in found.terms.items()}, gradients


def averaged(config: LossConfig, split: Sequence[int]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """On a rank: terms and gradients as the trainer averages them."""
    rank, world = dist.get_rank(), dist.get_world_size()
    found = of_images(config, split, rank)
    for tensor in (t for part in found for t in part.values()):
        assert tensor.isfinite().all()
        dist.all_reduce(tensor)
        tensor /= world
    return found


def everything_on_a_rank() -> dict[tuple[str, tuple[int, int]], tuple[dict[str, Tensor], dict[str, Tensor]]]:
    return {(name, split): averaged(config, split) for name, config in RANKED.items() for split in SPLITS}


def test_the_average_over_ranks_is_what_one_process_gets() -> None:
    ranks = on_ranks(everything_on_a_rank)
    for name, config in RANKED.items():
        terms, gradients = of_images(config, [len(LENGTHS)], 0)
        assert max(float(g.abs().max()) for g in gradients.values()) > 1e-3
        for split in SPLITS:
            for found_terms, found_gradients in (results[name, split] for results in ranks):
                assert found_terms.keys() == terms.keys()
                for key, term in terms.items():
                    rtol = 1e-6 if key.endswith("_cosine") else 1e-12  # a measure, in fp32
                    torch.testing.assert_close(found_terms[key], term, rtol=rtol, atol=1e-14)
                for key, gradient in gradients.items():
                    torch.testing.assert_close(found_gradients[key], gradient, rtol=1e-11, atol=1e-13)
