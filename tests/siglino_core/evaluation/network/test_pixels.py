"""Pixels: the exported processor's and training's own on the grid, and squares."""

import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siglino_core.encoders.preprocess import Preprocess
from siglino_core.errors import ConfigError
from siglino_core.evaluation.network.packs import patched
from siglino_core.evaluation.network.pixels import HALF, IMAGENET, OnGrid, OwnPixels, Squash
from siglino_core.images.patches import to_floats, to_patches
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.models.resolution import Resolution
from tests import pictures

RULE = Resolution(min_pixels=64 * 64, max_pixels=96 * 96)
GRID = OnGrid(resolution=RULE)


@pytest.mark.parametrize("size", [(48, 32), (300, 200), (64, 64), (500, 30), (9, 40)])
def test_on_the_grid_they_are_the_exported_processors(size: tuple[int, int]) -> None:
    image = pictures.pixels(1, size)
    processor = SigLinoImageProcessor(min_pixels=RULE.min_pixels, max_pixels=RULE.max_pixels)
    wanted, shape = processor.patches(image)
    pixels = GRID(image)
    assert pixels.dtype == np.uint8
    assert (pixels.shape[0] // 16, pixels.shape[1] // 16) == shape
    assert torch.equal(to_floats(torch.from_numpy(patched(pixels, 16))), wanted)


def test_on_the_grid_they_are_trainings() -> None:
    data = pictures.picture(3, "png", (200, 130))
    image = pictures.pixels(3, (200, 130))
    height, width = GRID.size(130, 200)
    wanted = to_patches(data, (height // 16, width // 16))
    assert np.array_equal(patched(GRID(image), 16), wanted.numpy())


@given(st.integers(16, 900), st.integers(16, 900))
def test_on_the_grid_sizes_are_whole_patches_within_bounds(height: int, width: int) -> None:
    h, w = GRID.size(height, width)
    assert h % 16 == w % 16 == 0
    if max(height, width) < 4 * min(height, width):  # thinner ones keep a patch across
        assert RULE.min_pixels <= h * w <= RULE.max_pixels


def test_an_aspect_that_no_network_sees() -> None:
    with pytest.raises(ValueError, match="an image of 4001 x 20 pixels: an aspect of at most 200"):
        GRID(Image.new("RGB", (4001, 20)))


def test_own_pixels_are_the_preprocess_and_a_squash_loses_nothing() -> None:
    image, own = pictures.pixels(2, (120, 80)), Preprocess(size=32, crop_share=0.875)
    assert np.array_equal(OwnPixels(preprocess=own)(image), own(image))
    squashed = np.asarray(image.resize((40, 40), Image.Resampling.BICUBIC))
    assert np.array_equal(Squash(size=40)(image), squashed)
    assert not np.array_equal(OwnPixels(preprocess=Preprocess(size=40))(image), squashed)


def test_they_say_what_decides_them() -> None:
    assert GRID.describe() == {
        "rule": "grid",
        "interpolation": "bicubic",
        "antialias": True,
        "patch_size": 16,
        "min_pixels": 4096,
        "max_pixels": 9216,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
    }
    assert OnGrid(resolution=RULE, squeezed=224).describe()["then_squeezed_to"] == 224
    own = OwnPixels(preprocess=Preprocess(size=224, crop_share=0.875), normal=IMAGENET).describe()
    assert own["fit"] == "crop"
    assert (own["rule"], own["size"], own["crop_share"], own["mean"][0]) == ("own", 224, 0.875, 0.485)
    assert "crop_share" not in OwnPixels(preprocess=Preprocess(size=224, fit="squash")).describe()
    assert Squash(size=64, normal=HALF).describe()["size"] == 64


def test_they_travel_between_processes() -> None:
    image = pictures.pixels(0)
    for pixels in (GRID, OwnPixels(preprocess=Preprocess(size=32)), Squash(size=32)):
        again = pickle.loads(pickle.dumps(pixels))
        assert again == pixels
        assert np.array_equal(again(image), pixels(image))


def test_a_square_has_a_side() -> None:
    with pytest.raises(ConfigError, match=r"Squash\(size=0\)"):
        Squash(size=0)
