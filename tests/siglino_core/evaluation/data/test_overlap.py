"""What of a test set training has seen: against a plain loop, for any blocks, and what is refused."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.data import overlap as module
from siglino_core.evaluation.data.overlap import Match, Seen, closest, overlap, unit


def blocks(ids: list[str], x_MD: np.ndarray, cuts: list[int]) -> list[Seen]:
    edges = [0, *sorted(cuts), len(ids)]
    return [Seen(image_ids=ids[a:b], vectors=x_MD[a:b]) for a, b in pairwise(edges)]


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 30), st.lists(st.integers(0, 30), max_size=3))
def test_as_a_plain_loop_finds_them(seed: int, n: int, m: int, cuts: list[int]) -> None:
    rng = np.random.default_rng(seed)
    test, train = rng.normal(size=(n, 5)), rng.normal(size=(m, 5))
    ids, seen = [f"i{i}" for i in range(n)], [f"i{3 * i}" if i % 5 == 0 else f"t{i}" for i in range(m)]
    expected: dict[str, tuple[str, float, bool]] = {}
    for i, name in enumerate(ids):
        cosines = [float(test[i] @ t / np.linalg.norm(test[i]) / np.linalg.norm(t)) for t in train]
        best = int(np.argmax(cosines))
        if name in seen:
            expected[name] = (name, 1.0, True)
        elif cosines[best] >= 0.6:
            expected[name] = (seen[best], cosines[best], False)
    found = overlap(ids, test, blocks(seen, train, [min(c, m) for c in cuts]), 0.6)
    assert [match.test_id for match in found] == list(expected)
    for match in found:
        train_id, cosine, exact = expected[match.test_id]
        assert (match.train_id, match.exact) == (train_id, exact)
        assert match.cosine == pytest.approx(cosine, abs=1e-5)


def test_small_parts_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    a, b = unit(rng.normal(size=(50, 8)), "a"), unit(rng.normal(size=(70, 8)), "b")
    b[60] = b[7] = a[3]
    whole = closest(a, b)
    monkeypatch.setattr(module, "QUERIES", 7)
    monkeypatch.setattr(module, "BLOCK", 11)
    cut = closest(a, b)
    np.testing.assert_array_equal(whole[1], cut[1])
    np.testing.assert_allclose(whole[0], cut[0], atol=1e-6)
    assert whole[1][3] == 7


def test_the_threshold_is_within() -> None:
    x = np.array([[1.0, 0.0]])
    assert overlap(["a"], x, [Seen(image_ids=["t"], vectors=np.array([[3.0, 0.0]]))], 1.0) == [
        Match(test_id="a", train_id="t", cosine=1.0, exact=False)
    ]
    assert overlap(["a"], x, [Seen(image_ids=["t"], vectors=np.array([[1.0, 1.0]]))], 0.71) == []


def test_bytes_alone() -> None:
    assert [m.test_id for m in overlap(["a", "b"], None, [Seen(image_ids=["b", "c"])], 0.9)] == ["b"]
    assert overlap([], np.zeros((0, 3)), [Seen(image_ids=["b"], vectors=np.ones((1, 3)))], 0.9) == []
    assert overlap(["a"], np.ones((1, 3)), [Seen(image_ids=[], vectors=np.zeros((0, 3)))], 0.9) == []


def test_half_precision_is_compared_in_fp32() -> None:
    x = torch.randn(4, 256, generator=torch.Generator().manual_seed(0)).half().numpy()
    found = overlap(["a"], x[:1], [Seen(image_ids=["t"], vectors=x[:1] * np.float16(0.5))], 0.999999)
    assert len(found) == 1


@pytest.mark.parametrize(
    ("test", "train", "says"),
    [
        ([[np.nan, 1.0]], [[1.0, 1.0]], "test images' features: vector 0 of 1 is zero or not finite"),
        ([[1.0, 1.0]], [[1.0, 1.0], [0.0, 0.0]], "training images' features: vector 1 of 2"),
        ([[1.0, 1.0]], [[1.0, np.inf]], "not finite"),
        ([[1.0, 1.0]], [[1.0, 1.0, 1.0]], "2 and of 3 channels"),
    ],
)
def test_what_is_refused(test: list[list[float]], train: list[list[float]], says: str) -> None:
    ids = [str(i) for i in range(len(train))]
    with pytest.raises(DataError, match=says):
        overlap(["a"], np.array(test), [Seen(image_ids=ids, vectors=np.array(train))], 0.9)
