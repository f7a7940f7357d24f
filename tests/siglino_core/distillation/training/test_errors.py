"""Kinds of errors, against sums written out over single tokens and channels."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from siglino_core.config import Error, LossConfig, Normalize
from siglino_core.distillation.targets.phi_s import PhiS
from siglino_core.distillation.training.errors import TokenErrors, explains
from siglino_core.distillation.training.losses import summary_errors

DIM, TOKENS = 8, 5


def random(count: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(count, DIM, generator=draw, dtype=torch.float64) + 1


SCALES = torch.logspace(-0.5, 0.5, DIM, dtype=torch.float64)
FITTED = PhiS.fit(random(60, 0) * SCALES)
STUDENT, TEACHER = random(TOKENS, 1), random(TOKENS, 2)
BETA, SHARE = 0.7, 0.3


def errors(kind: Error, normalize: Normalize) -> TokenErrors:
    config = LossConfig(patch_error=kind, patch_normalize=normalize, smooth_l1_beta=BETA, cosine_share=SHARE)
    return TokenErrors.of_patches(config, FITTED, "own")


def mse(ours: list[float], theirs: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(ours, theirs, strict=True)) / len(ours)


def smooth_l1(ours: list[float], theirs: list[float]) -> float:
    apart = [abs(a - b) for a, b in zip(ours, theirs, strict=True)]
    return sum(d**2 / (2 * BETA) if d < BETA else d - BETA / 2 for d in apart) / len(ours)


def cosine(ours: list[float], theirs: list[float]) -> float:
    product = sum(a * b for a, b in zip(ours, theirs, strict=True))
    return 1 - product / math.sqrt(sum(a * a for a in ours) * sum(b * b for b in theirs))


PLAIN = {
    Error.MSE: mse,
    Error.SMOOTH_L1: smooth_l1,
    Error.COSINE: cosine,
    Error.COSINE_SMOOTH_L1: lambda a, b: SHARE * cosine(a, b) + (1 - SHARE) * smooth_l1(a, b),
}


def plain_space(x_TC: Tensor, normalize: Normalize) -> Tensor:
    seen_NC = random(60, 0) * SCALES
    if normalize is Normalize.PHI_S:
        return FITTED.apply(x_TC)
    if normalize is Normalize.CHANNEL:
        return (x_TC - seen_NC.mean(0)) / seen_NC.std(0, unbiased=False)
    if normalize is Normalize.LAYER_NORM:
        return (x_TC - x_TC.mean(1, keepdim=True)) / (x_TC.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    return x_TC


@pytest.mark.parametrize("normalize", Normalize)
@pytest.mark.parametrize("kind", Error)
def test_values_are_those_of_plain_sums(kind: Error, normalize: Normalize) -> None:
    pairs = zip(plain_space(STUDENT, normalize).tolist(), plain_space(TEACHER, normalize).tolist(), strict=True)
    wanted = torch.tensor([PLAIN[kind](a, b) for a, b in pairs], dtype=torch.float64)
    found = errors(kind, normalize)(STUDENT, TEACHER)
    torch.testing.assert_close(found, wanted)
    assert wanted.std() > 0.01
    assert errors(kind, normalize)(TEACHER, TEACHER).abs().max() < 1e-12


@pytest.mark.parametrize("normalize", Normalize)
@pytest.mark.parametrize("kind", Error)
def test_gradients_flow_to_the_student_alone(kind: Error, normalize: Normalize) -> None:
    function = errors(kind, normalize)
    assert torch.autograd.gradcheck(lambda x: function(x, TEACHER), STUDENT.clone().requires_grad_())
    student, teacher = STUDENT.clone().requires_grad_(), TEACHER.clone().requires_grad_()
    function(student, teacher).sum().backward()
    assert student.grad is not None
    assert student.grad.any()
    assert teacher.grad is None


def test_the_default_is_the_error_over_phi_squared_bit_for_bit() -> None:
    config = LossConfig()
    for made in (TokenErrors.of_summaries(config, FITTED, "own"), TokenErrors.of_patches(config, FITTED, "own")):
        found = made(STUDENT.float(), TEACHER.float())
        assert torch.equal(found, summary_errors(STUDENT.float(), TEACHER.float(), phi=FITTED.phi))


def test_summaries_and_patches_have_settings_of_their_own() -> None:
    config = LossConfig(summary_error=Error.COSINE, summary_normalize=Normalize.NONE)
    summaries, patches = (of(config, FITTED, "own") for of in (TokenErrors.of_summaries, TokenErrors.of_patches))
    assert (summaries.kind, summaries.normalize.kind) == (Error.COSINE, Normalize.NONE)
    assert (patches.kind, patches.normalize.kind) == (Error.MSE, Normalize.PHI_S)


def test_which_errors_are_shares_of_the_variance() -> None:
    shares = {(k, n) for k in Error for n in Normalize if explains(k, n)}
    assert shares == {(Error.MSE, Normalize.PHI_S), (Error.MSE, Normalize.CHANNEL)}
    seen_NC = random(60, 0) * SCALES
    for kind, normalize in shares:
        mean = errors(kind, normalize)(seen_NC.mean(0).expand_as(seen_NC), seen_NC).mean()
        torch.testing.assert_close(mean, torch.ones_like(mean))


def test_half_precision_is_computed_in_single() -> None:
    function = errors(Error.COSINE_SMOOTH_L1, Normalize.PHI_S)
    found = function(STUDENT.bfloat16(), TEACHER.bfloat16())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, function(STUDENT.bfloat16().float(), TEACHER.bfloat16().float()))
    assert function(STUDENT[:0], TEACHER[:0]).shape == (0,)


@pytest.mark.parametrize("kind", [Error.MSE, Error.COSINE])
@pytest.mark.parametrize("normalize", [Normalize.PHI_S, Normalize.NONE])
def test_two_shapes_are_refused(kind: Error, normalize: Normalize) -> None:
    function = replace(errors(kind, normalize))
    with pytest.raises(ValueError, match=r"student \[4, 8\] and teacher \[5, 8\]"):
        function(STUDENT[:4], TEACHER)
