"""Patches for training are those of the student's image processor."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.images.patches import to_floats, to_patches
from siglino_core.images.reasons import BadImage
from siglino_core.models.processor import SigLinoImageProcessor
from tests.pictures import encode


def drawing() -> Image.Image:
    rng = np.random.default_rng(0)
    return Image.fromarray(rng.integers(0, 256, (190, 300, 3), dtype=np.uint8)).resize((150, 95))


def test_the_processors_patches() -> None:
    processor = SigLinoImageProcessor()
    wanted, grid = processor.patches(drawing())
    found = to_patches(encode(drawing(), "png"), grid)
    assert found.dtype == torch.uint8
    assert torch.equal(to_floats(found), wanted)


def test_flipped() -> None:
    data, mirrored = drawing(), drawing().transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(data.resize((80, 64), Image.Resampling.BICUBIC))[:, ::-1]
    found = to_patches(encode(data, "png"), (4, 5), flip=True)
    assert np.array_equal(found[7].numpy().reshape(16, 16, 3), pixels[16:32, 32:48])
    near = to_patches(encode(mirrored, "png"), (4, 5))
    assert (near.int() - found.int()).abs().max() <= 1


@pytest.mark.parametrize("size", [(500, 375), (1600, 1200), (2500, 300)])
def test_a_jpeg_of_any_size_is_decoded_as_the_processor_does(size: tuple[int, int]) -> None:
    data = encode(drawing().resize(size), "jpeg", quality=95)
    loaded = Image.open(io.BytesIO(data)).convert("RGB")
    wanted, grid = SigLinoImageProcessor().patches(loaded)
    assert torch.equal(to_floats(to_patches(data, grid)), wanted)


def test_what_is_no_image() -> None:
    with pytest.raises(BadImage):
        to_patches(b"GIF89a", (2, 2))
