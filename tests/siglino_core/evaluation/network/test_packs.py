"""Packs: patches as training cuts them, passes of bounded size, features back in order."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.network.packs import Gathered, grid, packed, passes, patched, tokens_at_once
from siglino_core.models.patches import patchify


def test_patches_are_the_models_own() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    wanted = patchify(torch.from_numpy(pixels).permute(2, 0, 1)[None], 16)[0]
    assert np.array_equal(patched(pixels, 16), wanted.numpy())
    assert grid(pixels, 16) == (2, 3)
    floats = packed([pixels, pixels], 16, "cpu")
    assert torch.equal(floats[:6], wanted.float() / 127.5 - 1)
    assert torch.equal(floats[6:], floats[:6])


@pytest.mark.parametrize("shape", [(32, 40, 3), (32, 32), (32, 32, 4), (0, 32, 3)])
def test_what_is_no_grid(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="sides in multiples of 16"):
        patched(np.zeros(shape, np.uint8), 16)


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), max_size=30), st.integers(1, 120), st.integers(0, 5))
def test_passes_hold_every_image_once_and_no_more_than_they_may(
    shapes: list[tuple[int, int]], most: int, prefix: int
) -> None:
    found = list(passes(shapes, most, prefix))
    assert sorted(i for some in found for i in some) == list(range(len(shapes)))
    for some in found:
        assert len(some) == 1 or sum(prefix + shapes[i][0] * shapes[i][1] for i in some) <= most
    assert [shapes[i] for some in found for i in some] == sorted(shapes)


def test_features_come_back_in_order() -> None:
    shapes = [(1, 2), (2, 2)]
    gathered = Gathered(shapes)
    gathered.add([1], {"a": torch.full((1, 3), 1.0)}, {"a": torch.arange(12.0).view(4, 3)})
    gathered.add([0], {"a": torch.zeros(1, 3, dtype=torch.bfloat16)}, {"a": torch.full((2, 3), 1e9)})
    seen = gathered.seen({"a": 3}, ["a"])
    assert seen.summaries["a"].dtype == np.float32
    assert seen.summaries["a"].tolist() == [[0, 0, 0], [1, 1, 1]]
    assert [p.shape for p in seen.patches["a"]] == [(1, 2, 3), (2, 2, 3)]
    assert seen.patches["a"][0].dtype == np.float16
    assert (seen.patches["a"][0] == 65504).all()  # held, not infinite
    assert seen.patches["a"][1][1, 0].tolist() == [6, 7, 8]


def test_no_images_are_no_rows() -> None:
    seen = Gathered([]).seen({"a": 3, "b": 5}, ["a"])
    assert {view: rows.shape for view, rows in seen.summaries.items()} == {"a": (0, 3), "b": (0, 5)}
    assert seen.patches == {"a": []}


def test_not_a_number_stays_for_the_caller() -> None:
    gathered = Gathered([(1, 1)])
    gathered.add([0], {"a": torch.tensor([[float("nan")]])}, {"a": torch.tensor([[float("nan")]])})
    seen = gathered.seen({"a": 1}, ["a"])
    assert np.isnan(seen.summaries["a"]).all()
    assert np.isnan(seen.patches["a"][0]).all()


def test_a_gpu_takes_more_at_once() -> None:
    assert tokens_at_once("cuda:1") == tokens_at_once("cuda") > tokens_at_once("cpu")
