"""What all encoders share: pixels cut as asked, unit features, and an identity that one weight changes."""

import numpy as np
import pytest
import torch
from PIL import Image

from siglino_core.encoders import Card, Preprocess
from siglino_core.encoders.encoder import Encoder, weights_hash


def ramp(width: int, height: int) -> Image.Image:
    """Red grows with x, green with y: a pixel tells where it came from."""
    x, y = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([x, y, 0 * x], 2).round().astype(np.uint8))


@pytest.mark.parametrize(("width", "height"), [(120, 60), (60, 120), (60, 60), (301, 100)])
def test_a_crop_is_the_centre_at_its_own_aspect(width: int, height: int) -> None:
    got = Preprocess(size=30)(ramp(width, height))
    assert (got.shape, got.dtype) == ((30, 30, 3), np.uint8)
    side = min(width, height)
    for axis, length, channel in ((1, width, 0), (0, height, 1)):
        line = got.take(15, axis=1 - axis)[:, channel].astype(float)
        middle = (length - side) / 2 + (np.arange(30) + 0.5) * side / 30
        assert line == pytest.approx((middle - 0.5) / (length - 1) * 255, abs=3)


def test_crop_share_cuts_the_borders_away() -> None:
    got = Preprocess(size=40, crop_share=0.5)(ramp(200, 100)).astype(float)
    assert got[20, [0, -1], 0] == pytest.approx([255 * 75 / 200, 255 * 125 / 200], abs=4)
    assert got[[0, -1], 20, 1] == pytest.approx([255 * 0.25, 255 * 0.75], abs=5)


def test_squash_shows_all_of_the_image() -> None:
    got = Preprocess(size=32, fit="squash")(ramp(200, 50)).astype(float)
    assert got.shape == (32, 32, 3)
    assert got[16, [0, -1], 0] == pytest.approx([0, 255], abs=6)
    assert got[[0, -1], 16, 1] == pytest.approx([0, 255], abs=6)


def test_pictures_of_one_pixel() -> None:
    for fit in ("crop", "squash"):
        assert (Preprocess(size=8, fit=fit)(Image.new("RGB", (1, 1), (9, 8, 7))) == [9, 8, 7]).all()
        assert Preprocess(size=8, fit=fit)(Image.new("RGB", (500, 1))).shape == (8, 8, 3)


class Mean(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(3))
        self.register_buffer("steps", torch.tensor(3))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.dropout(x.mean((2, 3)) @ self.weight)


def encoder(precision: str = "fp32") -> Encoder:
    card = Card(name="mean", identity="", preprocess=Preprocess(size=4), dim=3)
    return Encoder(Mean(), card, mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.1), device="cpu", precision=precision)


@pytest.mark.filterwarnings("error")
def test_encode_normalises_pixels_and_features() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    pixels.setflags(write=False)  # as they come from an Arrow buffer
    got = encoder().encode(pixels)
    expected = (pixels.mean((1, 2)) / 255 - [0.5, 0.4, 0.3]) / [0.5, 0.25, 0.1]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert got.dtype == np.float32
    assert got == pytest.approx(expected, abs=1e-5)
    rough = encoder("bf16").encode(pixels)
    assert rough.dtype == np.float32
    assert rough == pytest.approx(expected, abs=0.05)
    assert not np.array_equal(rough, got)


def test_a_batch_is_its_images_one_by_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 4, 3), dtype=np.uint8)
    one_by_one = np.concatenate([encoder().encode(p[None]) for p in pixels])
    assert encoder().encode(pixels) == pytest.approx(one_by_one, abs=1e-6)


def test_what_is_not_finite_stays_so() -> None:
    broken = encoder()
    with torch.no_grad():
        broken._features.weight[0, 0] = torch.nan
    assert np.isnan(broken.encode(np.zeros((1, 4, 4, 3), np.uint8))).any()


def test_one_weight_one_name_or_one_type_changes_the_hash() -> None:
    base = weights_hash(Mean())
    assert base == weights_hash(Mean())
    assert len(base) == 32
    changed = Mean()
    with torch.no_grad():
        changed.weight[2, 1] = 1e-30
    counted = Mean()
    counted.steps += 1
    renamed = Mean()
    renamed.register_buffer("other", renamed.steps)
    del renamed.steps
    assert len({base, *(weights_hash(m) for m in (changed, counted, renamed, Mean().half()))}) == 5
