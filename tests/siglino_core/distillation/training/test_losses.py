"""Losses of images: one weighs the same whatever its resolution.

How they add up over ranks is test_objective's: through the objective that trains.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.training.losses import (
    gram_errors,
    mean_over_images,
    per_image,
    summary_errors,
)

LENGTHS = [3, 1, 5, 2, 4, 1, 6]


@dataclass
class Tokens:
    """What a network says of some images; ``lengths`` are their patches."""

    lengths: list[int]
    summary_BD: Tensor
    patch_TD: Tensor
    register_BRD: Tensor

    @classmethod
    def random(cls, seed: int, dim: int, lengths: Sequence[int] = LENGTHS) -> Tokens:
        draw = torch.Generator().manual_seed(seed)
        shapes = [(len(lengths), dim), (sum(lengths), dim), (len(lengths), 4, dim)]
        return cls(list(lengths), *(torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes))

    def images(self, first: int, last: int) -> Tokens:
        before, until = sum(self.lengths[:first]), sum(self.lengths[:last])
        return Tokens(
            self.lengths[first:last],
            self.summary_BD[first:last],
            self.patch_TD[before:until],
            self.register_BRD[first:last],
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> Tokens:
        return Tokens(self.lengths, function(self.summary_BD), function(self.patch_TD), function(self.register_BRD))


def patch_errors(student_TD: Tensor, teacher_TD: Tensor, lengths: Sequence[int], *, phi: float = 1.0) -> Tensor:
    """Patches' errors as the objective has them by default."""
    return per_image(summary_errors(student_TD, teacher_TD, phi=phi), lengths)


def summary_mean(student: Tensor, teacher: Tensor, phi: float = 1.0) -> Tensor:
    return mean_over_images(summary_errors(student, teacher, phi=phi), len(student))


def patch_mean(student_TD: Tensor, teacher_TD: Tensor, lengths: Sequence[int], phi: float = 1.0) -> Tensor:
    return mean_over_images(patch_errors(student_TD, teacher_TD, lengths, phi=phi), len(lengths))


def gram_mean(student_TD: Tensor, teacher_TD: Tensor, lengths: Sequence[int]) -> Tensor:
    return mean_over_images(gram_errors(student_TD, teacher_TD, lengths), len(lengths))


LOSSES: dict[str, Callable[[Tokens, Tokens], Tensor]] = {
    "summary": lambda s, t: summary_mean(s.summary_BD, t.summary_BD, phi=1.7),
    "patch": lambda s, t: patch_mean(s.patch_TD, t.patch_TD, t.lengths, phi=0.6),
    "register": lambda s, t: summary_mean(s.register_BRD, t.register_BRD),
    "gram": lambda s, t: gram_mean(s.patch_TD, t.patch_TD, t.lengths),
}
INPUTS, TEACHER = Tokens.random(0, 4), Tokens.random(1, 6)
WEIGHT_KD = torch.randn(4, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def value_and_gradient(name: str, first: int, last: int) -> tuple[Tensor, Tensor]:
    """A loss of these images, of a student that is one matrix, and the matrix's gradient."""
    weight_KD = WEIGHT_KD.clone().requires_grad_()
    student = INPUTS.images(first, last).map(lambda x: x @ weight_KD)
    value = LOSSES[name](student, TEACHER.images(first, last))
    value.backward()
    assert weight_KD.grad is not None
    return value.detach(), weight_KD.grad


@pytest.mark.parametrize("name", LOSSES)
def test_gradcheck(name: str) -> None:
    def loss(weight_KD: Tensor) -> Tensor:
        return LOSSES[name](INPUTS.map(lambda x: x @ weight_KD), TEACHER)

    assert torch.autograd.gradcheck(loss, WEIGHT_KD.clone().requires_grad_())


@pytest.mark.parametrize("name", LOSSES)
def test_no_images(name: str) -> None:
    value, gradient = value_and_gradient(name, 3, 3)
    assert value == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.parametrize("name", LOSSES)
def test_precision(name: str) -> None:
    student, teacher = Tokens.random(3, 64).map(Tensor.bfloat16), Tokens.random(4, 64).map(Tensor.bfloat16)
    in_fp32 = LOSSES[name](student.map(Tensor.float), teacher.map(Tensor.float))
    assert in_fp32.dtype == torch.float32
    assert torch.equal(LOSSES[name](student, teacher), in_fp32)
    assert torch.equal(LOSSES[name](student, teacher.map(Tensor.float)), in_fp32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(LOSSES[name](student.map(Tensor.float), teacher.map(Tensor.float)), in_fp32)
    in_fp64 = LOSSES[name](student.map(Tensor.double), teacher.map(Tensor.double))
    assert in_fp64.dtype == torch.float64
    assert float(in_fp32) == pytest.approx(float(in_fp64), rel=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_no_gradient_for_the_teacher(name: str) -> None:
    student = Tokens.random(3, 6).map(Tensor.requires_grad_)
    teacher = Tokens.random(4, 6).map(Tensor.requires_grad_)
    LOSSES[name](student, teacher).backward()
    assert all(x.grad is None for x in (teacher.summary_BD, teacher.patch_TD, teacher.register_BRD))


def test_summaries_and_registers_are_means_of_squares() -> None:
    student, teacher = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 4.0], [3.0, 1.0]])
    assert summary_errors(student, teacher).tolist() == [4 / 2, 10 / 2]
    assert summary_errors(student, teacher, phi=2.0).tolist() == [4 / 2 / 4, 10 / 2 / 4]
    assert summary_errors(student[None], teacher[None]).tolist() == [14 / 4]
    assert mean_over_images(torch.tensor([2.0, 5.0]), 7.0) == 1  # two of many ranks' images
    assert mean_over_images(torch.empty(0), 0.0) == 0


def test_an_image_weighs_the_same_whatever_its_resolution() -> None:
    lengths = [2, 50]
    student_TD = torch.zeros(52, 3, dtype=torch.float64, requires_grad=True)
    teacher_TD = torch.tensor([1.0] * 2 + [3.0] * 50, dtype=torch.float64)[:, None].expand(52, 3)
    loss = patch_mean(student_TD, teacher_TD, lengths)
    loss.backward()
    assert loss.item() == pytest.approx((1 + 9) / 2)
    assert student_TD.grad is not None
    small, large = student_TD.grad.split(lengths)
    assert float(large.sum() / small.sum()) == pytest.approx(3)  # the errors' ratio, not that of their numbers


def test_nor_do_more_pairs_weigh_more() -> None:
    student, teacher = Tokens.random(3, 6, [3, 5]), Tokens.random(4, 6, [3, 5])

    def doubled(x: Tokens) -> Tensor:
        return torch.cat([part.repeat(2, 1) for part in x.patch_TD.split(x.lengths)])

    once = gram_mean(student.patch_TD, teacher.patch_TD, [3, 5])
    twice = gram_mean(doubled(student), doubled(teacher), [6, 10])
    torch.testing.assert_close(once, twice)


def test_a_student_that_predicts_the_mean_starts_at_one() -> None:
    teacher = 3 * Tokens.random(5, 24, [400] * 2).patch_TD @ Tokens.random(6, 24, [24]).patch_TD + 7
    phis = PhiS.fit(teacher)
    student = teacher.mean(0).expand_as(teacher)
    assert float(summary_mean(student, teacher, phi=phis.phi)) == pytest.approx(1, abs=1e-12)
    assert float(patch_mean(student, teacher, [400] * 2, phi=phis.phi)) == pytest.approx(1, abs=1e-12)
    standardised = summary_mean(phis.apply(student), phis.apply(teacher))
    assert float(standardised) == pytest.approx(1, abs=1e-12)


def test_gram_is_the_mean_over_pairs_of_cosines() -> None:
    student, teacher = Tokens.random(3, 6), Tokens.random(4, 6)
    expected, first = 0.0, 0
    for n in LENGTHS:
        s, t = (normalize(x.patch_TD[first : first + n], dim=1) for x in (student, teacher))
        expected += sum(float(s[i] @ s[j] - t[i] @ t[j]) ** 2 for i in range(n) for j in range(n)) / n**2 / len(LENGTHS)
        first += n
    assert float(gram_mean(student.patch_TD, teacher.patch_TD, LENGTHS)) == pytest.approx(expected, rel=1e-12)


def test_gram_by_hand_and_where_it_pulls() -> None:
    assert gram_errors(torch.eye(2), torch.ones(2, 2), [2]).tolist() == pytest.approx([0.5])
    wide = torch.cat([torch.eye(2, 4), torch.eye(4)])
    assert gram_errors(wide, torch.ones(6, 4), [2, 4]).mean().item() == pytest.approx(0.625)  # 0.5 and 0.75
    generator = torch.Generator().manual_seed(0)
    x_TD = torch.randn(7, 5, generator=generator, dtype=torch.float64).requires_grad_()
    turned, _ = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))
    scaled = x_TD.detach() @ turned * torch.rand(7, 1, generator=generator, dtype=torch.float64)
    assert float(gram_mean(x_TD, scaled, [3, 4])) == pytest.approx(0, abs=1e-12)  # cosines are the same
    gram_mean(x_TD, torch.randn(7, 3, generator=generator, dtype=torch.float64), [3, 4]).backward()
    assert x_TD.grad is not None
    assert x_TD.grad.abs().max() > 1e-3
    torch.testing.assert_close((x_TD.grad * x_TD).sum(1), torch.zeros(7, dtype=torch.float64), atol=1e-12, rtol=0)


def test_refusals() -> None:
    x = torch.randn(4, 3)
    for loss in (patch_errors, gram_errors):
        for lengths in ([1, 2], [4, 1], [5, -1], [4, 0], []):
            with pytest.raises(ValueError, match=r"lengths \[.*\] must be positive and add up to the patches, 4"):
                loss(x, x, lengths)
    with pytest.raises(ValueError, match=r"student \[4, 3\] and teacher \[1, 3\] must have one shape"):
        summary_errors(x, x[:1])  # would broadcast
    with pytest.raises(ValueError, match="must have one shape"):
        summary_errors(x[None], x)
