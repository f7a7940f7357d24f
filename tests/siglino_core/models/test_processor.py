"""The image processor: sizes, order of the numbers, batches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from siglino_core.models.processor import SigLinoImageProcessor
from tests.pictures import pixels

PROCESSOR = SigLinoImageProcessor()


@pytest.mark.parametrize(
    ("height", "width", "wanted"),
    [
        (256, 256, (256, 256)),
        (200, 200, (192, 192)),  # 12.5 patches: halves to even
        (216, 216, (224, 224)),  # 13.5
        (190, 250, (192, 256)),
        (1024, 1024, (256, 256)),
        (512, 1024, (176, 352)),  # 181.0 and 362.0, floored
        (64, 64, (128, 128)),
        (40, 100, (96, 208)),  # scaled up, then ceiled: 80.95 and 202.4
    ],
)
def test_sizes(height: int, width: int, wanted: tuple[int, int]) -> None:
    assert PROCESSOR.target_size(height, width) == wanted


@given(st.integers(16, 4000), st.integers(16, 4000))
def test_sizes_are_whole_patches_within_bounds(height: int, width: int) -> None:
    if max(height, width) > 200 * min(height, width):
        return
    h, w = PROCESSOR.target_size(height, width)
    assert h % 16 == w % 16 == 0
    assert min(h, w) >= 16
    if max(height, width) < 10 * min(height, width):
        assert h * w <= 256**2


def test_pixels_and_order() -> None:
    image = pixels(0, (160, 144))
    patches, shape = PROCESSOR.patches(image)
    assert shape == (9, 10)
    wanted = np.asarray(image, dtype=np.float32) / 127.5 - 1
    torch.testing.assert_close(patches[11], torch.from_numpy(wanted[16:32, 16:32].reshape(-1)))
    assert patches.min() >= -1
    assert patches.max() <= 1


def test_a_batch() -> None:
    batch = PROCESSOR([pixels(1, (160, 144)), np.asarray(pixels(2, (128, 128)))], return_tensors="pt")
    assert batch["pixel_values"].shape == (2, 90, 768)
    assert batch["padding_mask"].sum(1).tolist() == [90, 64]
    assert batch["spatial_shapes"].tolist() == [[9, 10], [8, 8]]
    assert not batch["pixel_values"][1, 64:].any()
    one = PROCESSOR(pixels(1, (512, 512)), max_pixels=512**2)
    assert one["spatial_shapes"].tolist() == [[32, 32]]
    assert PROCESSOR(Image.new("L", (128, 128)))["pixel_values"].shape == (1, 64, 768)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="an image of 200 x 15 pixels: each side at least 16"):
        PROCESSOR(Image.new("RGB", (200, 15)))
    with pytest.raises(ValueError, match="an aspect of at most 200"):
        PROCESSOR.target_size(16, 3300)
    with pytest.raises(ValueError, match="min_pixels=400: above 0, at most max_pixels=300"):
        SigLinoImageProcessor(min_pixels=400, max_pixels=300)
