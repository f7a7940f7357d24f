"""The released ensemble's worked example, how its kNN form favours high cosines, and the joined vector's cosine."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import unit
from siglino_core.evaluation.calibration import log_softmax
from siglino_core.evaluation.ensemble import (
    average,
    concat,
    ensemble,
    ensemble_votes,
    entropy,
    oracle_of_two,
    weight,
)

A, B = np.array([[0.3, 0.1, 0.0]]), np.array([[0.05, 0.12, 0.02]])


def test_worked_example() -> None:
    entropy_a, entropy_b = entropy(log_softmax(A)), entropy(log_softmax(B))
    assert entropy_a[0] == pytest.approx(1.090636, abs=1e-6)
    assert entropy_b[0] == pytest.approx(1.097724, abs=1e-6)
    assert weight(entropy_a, entropy_b)[0] == pytest.approx(0.508860, abs=1e-6)
    np.testing.assert_allclose(ensemble(A, B), [[0.177215, 0.109823, 0.009823]], atol=1e-6)


def test_temperatures_divide_the_logits_that_are_mixed() -> None:
    found = ensemble(A, B, temperature_a=0.1, temperature_b=0.2)
    w = weight(entropy(log_softmax(A, 0.1)), entropy(log_softmax(B, 0.2)))[0]
    np.testing.assert_allclose(found, w * A * 10 + (1 - w) * B * 5)
    assert w > 0.9


def test_beta() -> None:
    np.testing.assert_allclose(ensemble(A, B, beta=0), average(A, B))
    np.testing.assert_allclose(ensemble(A, B, beta=1e6), A)


def test_half_precision_counts_as_fp32() -> None:
    a, b = torch.from_numpy(A).bfloat16(), torch.from_numpy(B).bfloat16()
    np.testing.assert_array_equal(ensemble(a, b), ensemble(a.float().numpy(), b.float().numpy()))
    assert weight(entropy(log_softmax(a)), entropy(log_softmax(b)))[0] != 0.5  # bf16 says exactly a half


@given(st.integers(0, 999), st.floats(0, 50))
def test_between_the_two(seed: int, beta: float) -> None:
    a, b = np.random.default_rng(seed).normal(size=(2, 4, 5))
    found = ensemble(a, b, beta=beta)
    assert ((found >= np.minimum(a, b) - 1e-12) & (found <= np.maximum(a, b) + 1e-12)).all()
    np.testing.assert_allclose(ensemble(b, a, beta=beta), found, rtol=1e-9, atol=1e-12)


def test_votes_as_they_are_follow_the_higher_cosines() -> None:
    low = np.exp((np.array([[0.6, 0.3, 0.3]]) - 1) / 0.07)  # sure of class 0, cosines low
    high = np.exp((np.array([[0.80, 0.80, 0.95]]) - 1) / 0.07)  # less sure, of class 2, cosines high
    assert ensemble_votes(low, high).argmax() == 2
    share = [votes / votes.sum() for votes in (low, high)]
    assert ensemble_votes(*share).argmax() == 0
    w = weight(entropy(np.log(share[0])), entropy(np.log(share[1])))[0]
    np.testing.assert_allclose(ensemble_votes(low, high), w * low + (1 - w) * high)


def test_votes_of_nobody_are_as_unsure_as_can_be() -> None:
    found = ensemble_votes([[0.0, 0.0]], [[3.0, 0.0]])
    w = weight(np.log([2.0]), np.zeros(1))[0]
    np.testing.assert_allclose(found, [[3 * (1 - w), 0]])


def test_joined_vectors_have_the_mean_cosine() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(6, 4)), rng.normal(size=(6, 9))
    for alpha in 0.0, 0.3, 1.0:
        joined = concat(a, b, alpha=alpha)
        expected = alpha * unit(a) @ unit(a).T + (1 - alpha) * unit(b) @ unit(b).T
        np.testing.assert_allclose(joined @ joined.T, expected, atol=1e-6)
        assert joined.shape == (6, 13)


def test_oracle() -> None:
    a, b = np.eye(3)[[0, 1, 2, 0]], np.eye(3)[[0, 2, 1, 0]]
    assert oracle_of_two(a, b, [0, 1, 1, 2]).tolist() == [True, True, True, False]


def test_refused() -> None:
    with pytest.raises(DataError, match="the same samples and classes"):
        ensemble(A, B[:, :2])
    with pytest.raises(DataError, match="not finite"):
        ensemble(A * np.nan, B)
    with pytest.raises(DataError, match="votes below 0"):
        ensemble_votes(-A, B)
    with pytest.raises(DataError, match=r"alpha = 1\.5"):
        concat(A, B, alpha=1.5)
    with pytest.raises(DataError, match="views of 1 and 2 samples"):
        concat(A, np.ones((2, 3)))
