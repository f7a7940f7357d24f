"""The nearest rows are those of a plain loop in fp64, ties by row, by torch and by faiss, in blocks of any size."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation import neighbours
from siglino_core.evaluation.arrays import cosines, unit
from siglino_core.evaluation.neighbours import nearest


def by_loop(train: np.ndarray, test: np.ndarray, k: int, *, skip_self: bool = False) -> np.ndarray:
    similar = cosines(unit(test), unit(train))
    rows = []
    for i, row in enumerate(similar):
        others = [j for j in range(len(row)) if not (skip_self and i == j)]
        rows.append(sorted(others, key=lambda j, row=row: (-row[j], j))[:k])
    return np.array(rows)


@pytest.fixture(params=["torch", "faiss", "blocks"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "faiss":
        monkeypatch.setattr(neighbours, "FAISS_ROWS", 1)
    if request.param == "blocks":
        monkeypatch.setattr(neighbours, "CELLS", 700)
        monkeypatch.setattr(neighbours, "ROWS", 7)
    return request.param


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("skip_self", [False, True])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_against_a_loop(k: int, skip_self: bool) -> None:
    rng = np.random.default_rng(0)
    train = rng.normal(size=(150, 8))
    train[40:100] = train[rng.integers(0, 10, size=60)]  # duplicates: ties across the border
    test = train if skip_self else rng.normal(size=(31, 8))
    found = nearest(train, test, k, skip_self=skip_self)
    np.testing.assert_array_equal(found.rows_NK, by_loop(train, test, k, skip_self=skip_self))
    expected = np.take_along_axis(cosines(unit(test), unit(train)), found.rows_NK, 1)
    np.testing.assert_array_equal(found.cosines_NK, expected)


@pytest.mark.usefixtures("way")
def test_all_equal_go_by_row() -> None:
    same = np.full((300, 33), 0.1)
    np.testing.assert_array_equal(nearest(same, same[:4], 3).rows_NK, [[0, 1, 2]] * 4)
    np.testing.assert_array_equal(
        nearest(same, same, 3, skip_self=True).rows_NK[:4], [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    )


@pytest.mark.usefixtures("way")
def test_closer_than_fp32_can_tell() -> None:
    train = np.eye(64)[:1] + 1e-4 * np.random.default_rng(1).normal(size=(500, 64))  # cosines differ by about 1e-7
    np.testing.assert_array_equal(nearest(train, train[:20], 10).rows_NK, by_loop(train, train[:20], 10))


def test_lengths_do_not_count() -> None:
    rng = np.random.default_rng(2)
    train, test = rng.normal(size=(90, 6)), rng.normal(size=(9, 6))
    scaled = nearest(train * rng.uniform(1e-9, 1e9, size=(90, 1)), test * 1e-20, 7)
    np.testing.assert_array_equal(scaled.rows_NK, nearest(train, test, 7).rows_NK)


def test_more_than_there_are() -> None:
    train = np.random.default_rng(3).normal(size=(4, 5))
    assert nearest(train, train, 20).rows_NK.shape == (4, 4)
    alone = nearest(train, train, 20, skip_self=True)
    assert alone.rows_NK.shape == (4, 3)
    assert not (alone.rows_NK == np.arange(4)[:, None]).any()
    assert nearest(train, np.empty((0, 5)), 3).rows_NK.shape == (0, 3)


@settings(max_examples=25)
@given(seed=st.integers(0, 999), k=st.integers(1, 12))
def test_order_of_the_train_rows_matters_only_to_ties(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    train, test, order = rng.normal(size=(50, 5)), rng.normal(size=(6, 5)), rng.permutation(50)
    np.testing.assert_array_equal(order[nearest(train[order], test, k).rows_NK], nearest(train, test, k).rows_NK)


def test_a_process_that_allows_coarse_products_gets_fine_ones() -> None:
    at_products: list[str] = []

    class Watched(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            if func is torch.Tensor.__matmul__ or func is torch.Tensor.matmul:
                at_products.append(torch.get_float32_matmul_precision())
            return super().__torch_function__(func, types, args, kwargs or {})

    rng = np.random.default_rng(4)
    train, test = torch.from_numpy(rng.normal(size=(2, 40, 8)).astype(np.float32))
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        neighbours._top(train.as_subclass(Watched), test.as_subclass(Watched), 3)
        assert at_products == ["highest"]
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("train", "test", "k", "skip_self", "says"),
    [
        ((3, 4), (2, 5), 1, False, "4 and 5 wide"),
        ((0, 4), (2, 4), 1, False, "0 train rows"),
        ((1, 4), (1, 4), 1, True, "1 train rows"),
        ((3, 4), (2, 4), 0, False, "k = 0"),
        ((3, 4), (2, 4), 1, True, "the same split"),
    ],
)
def test_refused(train: tuple[int, int], test: tuple[int, int], k: int, skip_self: bool, says: str) -> None:
    with pytest.raises(DataError, match=says):
        nearest(np.ones(train), np.ones(test), k, skip_self=skip_self)
