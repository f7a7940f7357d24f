"""PHI-S: every channel's variance is 1, the way back is exact, and parts merge into the whole."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor

from siglino_core.distillation.targets.phi_s import Moments, PhiS
from siglino_core.errors import DataError


def features(n: int, dim: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Correlated, with a mean and with variances that differ a thousandfold, as teachers' features are."""
    draw = torch.Generator().manual_seed(seed)
    common = torch.randn(n, 8, generator=draw, dtype=dtype) @ torch.randn(8, dim, generator=draw, dtype=dtype)
    scale = torch.logspace(-2, 2, dim, dtype=dtype)[torch.randperm(dim, generator=draw)]
    noise = torch.randn(n, dim, generator=draw, dtype=dtype) * scale
    return noise + 3 * common + 5 * torch.randn(dim, generator=draw, dtype=dtype)


@pytest.mark.parametrize("dim", [384, 1024, 1152])
def test_every_channel_has_variance_one_and_the_inverse_is_exact(dim: int) -> None:
    x = features(50_000 if dim == 384 else 20_000, dim)
    assert x.var(0).max() > 300 * x.var(0).min()
    phis = PhiS.fit(x)
    assert phis.kind == "hadamard"
    y = phis.apply(x)
    assert y.dtype == torch.float32
    assert (y.var(0) - 1).abs().max() < 1e-3
    assert y.mean(0).abs().max() < 1e-3
    back = phis.invert(y[:2000])
    assert (back - x[:2000]).abs().max() / x.abs().max() < 1e-5


def test_inverse_in_fp64_and_any_leading_shape() -> None:
    x = features(600, 24, dtype=torch.float64)
    phis = PhiS.fit(x)
    y = phis.apply(x.view(2, 300, 24))
    assert (y.shape, y.dtype) == ((2, 300, 24), torch.float64)
    torch.testing.assert_close(phis.invert(y).view(600, 24), x, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(phis.rotation @ phis.rotation.T, torch.eye(24, dtype=torch.float64))


def test_standardised_loss_is_the_raw_one_over_phi_squared() -> None:
    teacher = features(500, 48, dtype=torch.float64)
    student = features(500, 48, seed=1, dtype=torch.float64)
    phis = PhiS.fit(teacher)
    standardised = (phis.apply(student) - phis.apply(teacher)).square().mean(1)
    raw = (student - teacher).square().mean(1)
    torch.testing.assert_close(standardised, raw / phis.phi**2, rtol=1e-10, atol=0)


def test_low_precision_in_fp32_out_even_under_autocast() -> None:
    x = features(300, 32)
    phis = PhiS.fit(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = phis.apply(x)
        back = phis.invert(y)
    assert torch.equal(y, phis.apply(x))
    assert torch.equal(back, phis.invert(y))
    assert phis.apply(x.bfloat16()).dtype == torch.float32


def test_gradients_pass() -> None:
    phis = PhiS.fit(features(300, 12))
    x = features(5, 12, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(phis.apply, x)
    assert torch.autograd.gradcheck(phis.invert, x)


def test_without_a_hadamard_matrix_the_rotation_is_random_and_says_so() -> None:
    x = features(5000, 90)
    phis = PhiS.fit(x, seed=3)
    assert phis.kind == "random"
    variance = phis.apply(x.double()).var(0, correction=0)
    assert abs(variance.mean() - 1) < 1e-9  # in the mean, and near it everywhere
    assert variance.max() < 4
    assert torch.equal(PhiS.fit(x, seed=3).rotation, phis.rotation)
    assert not torch.equal(PhiS.fit(x, seed=4).rotation, phis.rotation)
    torch.testing.assert_close(phis.invert(phis.apply(x)), x, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("dim", [24, 90])
def test_saved_and_loaded(dim: int, tmp_path: Path) -> None:
    x = features(200, dim)
    phis = PhiS.fit(x)
    save_file(phis.tensors(), tmp_path / "phis.safetensors")
    loaded = PhiS.from_tensors(load_file(tmp_path / "phis.safetensors"))
    assert (loaded.phi, loaded.kind) == (phis.phi, phis.kind)
    assert torch.equal(loaded.apply(x), phis.apply(x))


def test_the_same_signs_whatever_the_library_returns(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features(400, 20)
    expected = PhiS.fit(x).rotation
    eigh = torch.linalg.eigh

    def flipped(matrix: Tensor) -> Any:
        result = eigh(matrix)
        result.eigenvectors[:, ::3] *= -1
        return result

    monkeypatch.setattr(torch.linalg, "eigh", flipped)
    torch.testing.assert_close(PhiS.fit(x).rotation, expected, rtol=0, atol=1e-14)


def test_tensor_parts_and_moments_are_the_same_fit() -> None:
    x = features(900, 20, dtype=torch.float64)

    def parts() -> Iterator[Tensor]:
        yield from x.split(123)

    moments = Moments.empty(20)
    moments.update(x)
    whole = PhiS.fit(x)
    for other in (PhiS.fit(parts()), PhiS.fit(moments)):
        torch.testing.assert_close(other.rotation, whole.rotation, rtol=0, atol=1e-9)
        assert other.phi == pytest.approx(whole.phi, rel=1e-13)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 8), st.floats(-1e6, 1e6))
def test_merged_parts_are_one_pass(cuts: list[int], turn: int, offset: float) -> None:
    x = features(300, 6, dtype=torch.float64) + offset
    edges = sorted({0, 300, *cuts})
    parts = []
    for first, last in pairwise(edges):
        parts.append(Moments.empty(6))
        parts[-1].update(x[first:last])
    parts.append(Moments.empty(6))  # a worker that saw nothing
    parts = parts[turn % len(parts) :] + parts[: turn % len(parts)]
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part)
    centred = x - x.mean(0)
    assert merged.count == 300
    torch.testing.assert_close(merged.mean_D, x.mean(0), rtol=1e-12, atol=1e-9)
    torch.testing.assert_close(merged.covariance(), centred.T @ centred / 300, rtol=1e-8, atol=1e-5)


def test_more_rows_than_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    x = features(1000, 6)
    whole, chunked = Moments.empty(6), Moments.empty(6)
    whole.update(x)
    monkeypatch.setattr("siglino_core.distillation.targets.phi_s.ROWS", 64)
    chunked.update(x)
    assert chunked.count == 1000
    torch.testing.assert_close(chunked.covariance(), whole.covariance(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_refused_and_leaves_nothing(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siglino_core.distillation.targets.phi_s.ROWS", 10)
    moments = Moments.empty(4, name="dinov3 patches")
    x = torch.randn(100, 4)
    x[57, 2] = value
    with pytest.raises(DataError, match=r"^dinov3 patches: 1 of 100 rows hold NaN or infinity\. Leave"):
        moments.update(x)
    assert moments.count == 0


def test_nothing_to_fit() -> None:
    with pytest.raises(DataError, match=r"^siglip2: 1 rows, and a variance needs two"):
        PhiS.fit(torch.randn(1, 4), name="siglip2")
    with pytest.raises(DataError, match="features: 0 rows"):
        PhiS.fit([])
    with pytest.raises(DataError, match=r"shape \[3, 8\] where \[N, 4\] was expected"):
        PhiS.fit([torch.randn(3, 4), torch.randn(3, 8)])


@pytest.mark.parametrize("value", [0.0, 0.1, -1e4])
def test_features_that_do_not_vary(value: float) -> None:
    with pytest.raises(DataError, match="all 1,000 rows are the same"):
        PhiS.fit(torch.full((1000, 4), value).split(77))
    with pytest.raises(DataError, match="all 1,000 rows are the same"):  # but for the mean's rounding
        PhiS.fit(torch.full((1000, 4), value, dtype=torch.float64).split(77))
