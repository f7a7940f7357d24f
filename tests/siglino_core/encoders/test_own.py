"""An encoder of one's own is held to its card, with one clear message for each way to be wrong."""

from typing import Any

import numpy as np
import pytest
import torch

from siglino_core.encoders import Card, Preprocess, Spec
from siglino_core.errors import ConfigError, DataError
from siglino_core.networks import describe, load_encoder

SETTING = "embed.encoder"
PIXELS = np.zeros((3, 8, 8, 3), np.uint8)


class Own:
    """A constant of unit length, or what is asked for."""

    def __init__(self, made: Any = None, **card: Any) -> None:
        settings = {"name": "own", "dim": 4, "identity": "x", "preprocess": Preprocess(size=8), **card}
        self.card, self._made = Card(**settings), made

    def encode(self, pixels_BHW3: np.ndarray) -> np.ndarray:
        return np.tile([0.0, 0.6, 0.8, 0.0], (len(pixels_BHW3), 1)) if self._made is None else self._made


class NoEncode:
    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self.card = Own().card


def right(device: str, dtype: torch.dtype) -> Own:
    return Own()


def packs_alone(device: str, dtype: torch.dtype) -> Own:
    return Own(preprocess=None)


def wide(device: str, dtype: torch.dtype) -> Own:
    return Own(np.ones((3, 5)))


def long(device: str, dtype: torch.dtype) -> Own:
    return Own(np.ones((3, 4)))


def not_finite(device: str, dtype: torch.dtype) -> Own:
    return Own(np.full((3, 4), np.nan))


def spec(function: Any, **settings: Any) -> Spec:
    return Spec.parse(f"{__name__}:{function.__name__}", SETTING, **settings)


def test_one_that_holds() -> None:
    encoder = load_encoder(spec(right), "cpu", "fp32")
    features = encoder.encode(PIXELS)
    assert (features.shape, features.dtype) == ((3, 4), np.float32)
    assert encoder.card == describe(spec(right))
    assert encoder.device.batch_size >= 1


def test_what_is_not_finite_is_left_to_the_caller() -> None:
    assert np.isnan(load_encoder(spec(not_finite)).encode(PIXELS)).all()


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (wide, r"encoder own: features of shape \(3, 5\), its card says \(3, 4\)"),
        (long, "encoder own: its features are not of unit length"),
    ],
)
def test_features_that_are_wrong(function: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        load_encoder(spec(function)).encode(PIXELS)


def test_what_cannot_embed() -> None:
    with pytest.raises(ConfigError, match="what it returned has no `encode`"):
        load_encoder(spec(NoEncode))
    with pytest.raises(ConfigError, match="own: its card says no `preprocess`"):
        load_encoder(spec(packs_alone))
    with pytest.raises(ConfigError, match=r"takes images of 8 pixels: leave embed\.image_size out"):
        load_encoder(spec(right, image_size=16))
