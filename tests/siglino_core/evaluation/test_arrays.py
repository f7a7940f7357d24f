"""Arrays of any kind become fp32 or fp64, are checked, and are scaled without overflow."""

import numpy as np
import pytest
import torch

from siglino_core.errors import DataError
from siglino_core.evaluation.arrays import blocks, class_ids, cosines, matrix, plain, unit


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_is_cast_up_first(dtype: torch.dtype) -> None:
    half = torch.randn(5, 7, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert plain(half).dtype == np.float32
    np.testing.assert_array_equal(unit(half), unit(half.float().numpy()))
    np.testing.assert_array_equal(unit(half), unit(half.float().requires_grad_()))


def test_types() -> None:
    assert matrix([[1, 2]], "x").dtype == np.float32
    assert matrix(np.ones((1, 2)), "x").dtype == np.float64
    assert matrix(np.ones((1, 2), np.float16), "x").dtype == np.float32
    assert unit(np.ones((1, 2))).dtype == np.float32
    assert unit(np.ones((1, 2)), dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1.0, 1e38])
def test_length_one_at_any_scale(scale: float) -> None:
    rows = np.array([[3.0, 4.0], [0.0, -2.0]])
    expected = [[0.6, 0.8], [0, -1]] if scale > 1e-40 else unit((rows * scale).astype(np.float32).astype(np.float64))
    np.testing.assert_allclose(unit((rows * min(scale, 5e37)).astype(np.float32)), expected, rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_squares_of_doubles_neither_overflow_nor_vanish(scale: float) -> None:
    np.testing.assert_allclose(unit(np.array([[3.0, 4.0]]) * scale), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_not_finite(bad: float) -> None:
    values = np.ones((4, 3))
    values[2, 1] = bad
    with pytest.raises(DataError, match="row 2 of train features is not finite"):
        unit(values, "train features")


def test_only_scores_may_be_minus_infinite() -> None:
    scores = np.array([[0.0, -np.inf]])
    assert matrix(scores, "scores", infinite=True)[0, 1] == -np.inf
    with pytest.raises(DataError, match="row 0 of scores is not finite"):
        matrix(-scores, "scores", infinite=True)
    with pytest.raises(DataError, match="row 0 of scores is not finite"):
        matrix(scores * np.nan, "scores", infinite=True)


def test_zeros_have_no_direction() -> None:
    with pytest.raises(DataError, match="row 1 of features is all zeros"):
        unit([[1.0, 0], [0, 0]])


def test_shape() -> None:
    with pytest.raises(DataError, match=r"features of shape \(3,\)"):
        unit(np.ones(3))
    assert unit(np.empty((0, 4))).shape == (0, 4)


@pytest.mark.parametrize(
    ("labels", "says"),
    [([0, 1], "for 3 rows"), ([0, 1, 3], "say 3 in row 2: a class is 0 to 2"), ([0, -1, 0], "say -1 in row 1")],
)
def test_labels_refused(labels: list[int], says: str) -> None:
    with pytest.raises(DataError, match=says):
        class_ids(labels, "labels", rows=3, num_classes=3)


def test_labels_are_whole_numbers() -> None:
    with pytest.raises(DataError, match="whole numbers"):
        class_ids([0.5], "labels", rows=1)
    assert class_ids(torch.tensor([2], dtype=torch.uint8), "labels", rows=1).dtype == np.int64


def test_blocks_cover_all_rows_once() -> None:
    assert list(blocks(5, 3, cells=6)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(blocks(2, 100, cells=6)) == [slice(0, 1), slice(1, 2)]
    assert list(blocks(0, 3)) == []


def test_equal_vectors_have_equal_similarities() -> None:
    rng = np.random.default_rng(0)
    texts = np.repeat(unit(rng.normal(size=(1, 1031))), 517, 0)
    images = unit(rng.normal(size=(37, 1031)))
    found = cosines(images, texts)
    assert (found == found[:, :1]).all()
    assert found.dtype == np.float32


def test_similarities_do_not_depend_on_the_block() -> None:
    rng = np.random.default_rng(1)
    images, texts = unit(rng.normal(size=(37, 257))), unit(rng.normal(size=(130, 257)))
    one_by_one = np.concatenate([cosines(images[i : i + 1], texts) for i in range(37)])
    np.testing.assert_array_equal(cosines(images, texts), one_by_one)  # in fp32 nearly all differ in the last digit
