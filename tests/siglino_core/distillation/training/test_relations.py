"""Relations: those of a double loop; over groups, passes and ranks, value and gradient are those of one process."""

from __future__ import annotations

import itertools
import math
from statistics import fmean, median_low
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from siglino_core.distillation.training.relations import Relation, linearised, relation_loss, rounds
from tests.ranks import on_ranks


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def naive_relation(student: Tensor, teacher: Tensor, mode: str, beta: float) -> float:
    """Over all ordered pairs, one by one."""
    n = len(student)
    pairs = [(i, j) for i in range(n) for j in range(n) if i != j]

    def distances(rows: list[list[float]]) -> dict[tuple[int, int], float]:
        raw = {(i, j): math.dist(rows[i], rows[j]) for i, j in pairs}
        return {pair: distance / fmean(raw.values()) for pair, distance in raw.items()}

    ours, theirs = distances(student.tolist()), distances(teacher.tolist())
    median = median_low(theirs.values())
    losses = []
    for pair in pairs:
        stray = abs(ours[pair] - theirs[pair])
        if mode == "arkd":
            shrink = max(ours[pair] - theirs[pair], 0) if theirs[pair] < median else 0
            expand = max(theirs[pair] - ours[pair], 0) if theirs[pair] >= median else 0
            stray = shrink + expand
        losses.append(0.5 * stray**2 / beta if stray < beta else stray - 0.5 * beta)
    return fmean(losses)


@pytest.mark.parametrize("mode", ["arkd", "rkd"])
@pytest.mark.parametrize("beta", [1.0, 0.1])
@pytest.mark.parametrize("images", [2, 3, 4, 5, 20])
def test_relations_against_a_double_loop(mode: Any, beta: float, images: int) -> None:
    student = random(images, 5, seed=images)
    teacher = random(images, 9, seed=images + 100)  # of any width
    value = float(relation_loss(student, teacher, mode, beta))
    assert value == pytest.approx(naive_relation(student, teacher, mode, beta), rel=1e-10, abs=1e-20)


def test_relations_by_hand() -> None:
    """The teacher's distances 1, 2, 3 are 1/2, 1, 3/2 of their mean, and the median is 1."""
    teacher = torch.tensor([[0.0], [1.0], [3.0]], dtype=torch.float64)
    crossed = torch.tensor([[0.0], [2.0], [3.0]], dtype=torch.float64)  # 1, 1/2, 3/2: both go the wrong way by 1/2
    further = torch.tensor([[0.0], [0.5], [3.0]], dtype=torch.float64)  # 1/4, 5/4, 3/2: both go the right way by 1/4
    cases: list[tuple[Relation, Tensor, float]] = [
        ("arkd", crossed, 2 / 3 * 0.5 * 0.25),
        ("rkd", crossed, 2 / 3 * 0.5 * 0.25),
        ("arkd", further, 0.0),
        ("rkd", further, 2 / 3 * 0.5 / 16),
    ]
    for mode, student, expected in cases:
        assert float(relation_loss(student, teacher, mode)) == pytest.approx(expected, abs=1e-15)
        assert float(relation_loss(10 * student + 3, 0.1 * teacher, mode)) == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("mode", ["arkd", "rkd"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rows", ["all", "half", "pairs"])
def test_duplicates_have_finite_gradients(mode: Any, dtype: torch.dtype, rows: str) -> None:
    student = random(40, 32, seed=0).to(dtype) + 10
    student = {"all": student[:1].expand(40, 32), "half": student[[0] * 20 + list(range(20))]}.get(
        rows, student[[i // 2 for i in range(40)]]
    )
    student = student.clone().requires_grad_()
    for teacher in (random(40, 32, seed=1).to(dtype), student.detach()):
        loss = relation_loss(student, teacher, mode)
        (gradient,) = torch.autograd.grad(loss, student)
        assert loss.isfinite()
        assert gradient.isfinite().all()
        assert gradient.abs().max() < 1


def test_relations_far_from_the_origin() -> None:
    student, teacher = (random(50, 64, seed=seed) for seed in (0, 1))
    moved = relation_loss((student + 300).float(), (teacher - 1000).float(), "rkd")
    assert float(moved) == pytest.approx(naive_relation(student, teacher, "rkd", 1.0), rel=1e-3)


@pytest.mark.parametrize("mode", ["arkd", "rkd"])
def test_gradcheck(mode: Any) -> None:
    teacher = random(7, 6, seed=1)
    student = random(7, 4, seed=0).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: relation_loss(x, teacher, mode, 0.3), student)


@pytest.mark.parametrize("mode", ["arkd", "rkd"])
def test_precision(mode: Any) -> None:
    student, teacher = (random(7, 64, seed=seed).bfloat16() for seed in (3, 4))
    in_fp32 = relation_loss(student.float(), teacher.float(), mode)
    assert in_fp32.dtype == torch.float32
    assert torch.equal(relation_loss(student, teacher, mode), in_fp32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(relation_loss(student.float(), teacher.float(), mode), in_fp32)
    assert float(in_fp32) == pytest.approx(float(relation_loss(student.double(), teacher.double(), mode)), rel=1e-5)


def test_no_gradient_for_the_teacher() -> None:
    student, teacher = (random(5, 6, seed=seed).requires_grad_() for seed in (3, 4))
    relation_loss(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize("images", [0, 1])
def test_one_image_has_no_relations(images: int) -> None:
    student = random(images, 4, seed=0).requires_grad_()
    value = relation_loss(student, random(images, 6, seed=1))
    assert value == 0
    assert torch.equal(torch.autograd.grad(value, student)[0], torch.zeros_like(student))


def test_refusals() -> None:
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match="mode='ark': not one of arkd, rkd"):
        relation_loss(x, x, "ark")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="4 images of the student, 3 of the teacher"):
        relation_loss(x, x[:3])


def test_what_rounding_leaves_of_equal_rows_is_no_relation() -> None:
    generator = torch.Generator().manual_seed(0)
    row, noise = torch.randn(32, generator=generator), torch.randn(16, 32, generator=generator)
    student = (row + 1e-7 * noise).requires_grad_()
    relation_loss(student, torch.randn(16, 32, generator=generator)).backward()
    assert student.grad is not None
    assert student.grad.norm() < 1e4  # of 1e7 without a floor


# A step of eight packs, over groups, passes and ranks.

IMAGES = [2, 1, 3, 0, 2, 4, 1, 1]
PACKS = len(IMAGES)


def test_rounds_hold_whole_groups_and_are_the_shortest() -> None:
    for packs, related, at_once in itertools.product((1, 6, 8, 12), (1, 2, 3, 4, 6, 12), (1, 2, 3, 5, 8, 20)):
        if packs % related:
            continue
        found = rounds(packs, related=related, at_once=at_once)
        assert [i for turns in found for i in turns] == list(range(-(-packs // at_once)))
        first = [turns.start * at_once for turns in found]
        assert all(pack % related == 0 for pack in first)
        shared = set(range(0, packs, at_once)) & set(range(0, packs, related))
        assert set(first) == shared
    assert rounds(8, related=8, at_once=8) == [range(1)]
    assert rounds(8, related=2, at_once=4) == [range(1), range(1, 2)]
    assert rounds(8, related=4, at_once=1) == [range(4), range(4, 8)]


def whole_step(related: int) -> tuple[Tensor, Tensor]:
    """The mean over groups, and its gradient, by autograd alone."""
    student, teacher = random(sum(IMAGES), 5, seed=0).requires_grad_(), random(sum(IMAGES), 9, seed=1)
    sizes = [sum(IMAGES[i : i + related]) for i in range(0, PACKS, related)]
    parts = zip(student.split(sizes), teacher.split(sizes), strict=True)
    value = torch.stack([relation_loss(s, t, "arkd", 0.3) for s, t in parts]).mean()
    return value.detach(), torch.autograd.grad(value, student)[0]


def in_parts(related: int, at_once: int, rank: int = 0, ranks: int = 1) -> tuple[Tensor, dict[int, Tensor]]:
    """This rank's sum over its passes of ``at_once`` packs, and the gradient by its packs' summaries."""
    student, teacher = (random(sum(IMAGES), dim, seed=seed).split(IMAGES) for dim, seed in ((5, 0), (9, 1)))
    value, gradient = torch.zeros((), dtype=torch.float64), {}
    for turns in rounds(PACKS, related=related, at_once=at_once * ranks):
        packs = [range(PACKS)[i * at_once * ranks : (i + 1) * at_once * ranks][rank::ranks] for i in turns]
        passes = [tuple(torch.cat([x[v] for v in mine]) for x in (student, teacher)) for mine in packs]
        images_V = IMAGES[turns.start * at_once * ranks : turns.stop * at_once * ranks]
        parts = linearised(passes, images_V, related=related, share=related / PACKS, beta=0.3)  # type: ignore[arg-type]
        for part, mine, (own, _) in zip(parts, packs, passes, strict=True):
            leaf = own.clone().requires_grad_()
            loss = part(leaf)
            value += loss.detach()
            (found,) = torch.autograd.grad(loss, leaf)
            gradient |= dict(zip(mine, found.split([IMAGES[v] for v in mine]), strict=True))
    return value, gradient


CASES = [(related, at_once) for related in (1, 2, 4, 8) for at_once in (1, 2, 3, 8)]


@pytest.mark.parametrize(("related", "at_once"), CASES)
def test_passes_add_up_to_the_step(related: int, at_once: int) -> None:
    wanted, gradient = whole_step(related)
    value, found = in_parts(related, at_once)
    torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)
    torch.testing.assert_close(torch.cat([found[v] for v in range(PACKS)]), gradient, rtol=1e-12, atol=1e-15)
    assert gradient.abs().max() > 1e-3


def cases_on_a_rank() -> list[tuple[Tensor, dict[int, Tensor]]]:
    rank, ranks = dist.get_rank(), dist.get_world_size()
    return [in_parts(related, at_once, rank, ranks) for related, at_once in CASES]


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_average_over_ranks_is_the_step(ranks: int) -> None:
    found = on_ranks(cases_on_a_rank, ranks=ranks)
    for i, (related, _) in enumerate(CASES):
        wanted, gradient = whole_step(related)
        parts: dict[int, Tensor] = {}
        for value, own in (cases[i] for cases in found):
            torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)
            parts |= {v: g / ranks for v, g in own.items()}
        torch.testing.assert_close(torch.cat([parts[v] for v in range(PACKS)]), gradient, rtol=1e-12, atol=1e-15)
