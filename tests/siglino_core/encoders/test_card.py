"""A card: what it refuses, what of it decides, and what a manifest holds of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from siglino_core.encoders import Card, Flops, Preprocess
from siglino_core.errors import ConfigError

CARD = Card(
    name="net", dim=4, identity="a", registers=2, preprocess=Preprocess(size=32), flops=Flops(linear=3.0), parameters=7
)


@pytest.mark.parametrize("name", ["", "two words", "a-b", "siglino", "1a"])
def test_a_name_that_is_no_word(name: str) -> None:
    with pytest.raises(ConfigError, match="a word"):
        replace(CARD, name=name)


def test_a_width_below_one() -> None:
    with pytest.raises(ConfigError, match="the card of net: dim=0, a whole number from 1"):
        replace(CARD, dim=0)


def test_a_manifest_gives_back_what_decides() -> None:
    stored = json.loads(json.dumps({**CARD.deciding(), "linear_flops": 5.0}))
    read = Card.read(stored)
    assert read.deciding() == CARD.deciding()
    assert set(stored) == {*CARD.deciding(), "linear_flops"}, "an earlier version's prices are no harm"
    assert replace(CARD, registers=3).deciding() != CARD.deciding()


def test_prices_do_not_tell_cards_apart() -> None:
    assert replace(CARD, flops=Flops(), parameters=0) == CARD
    assert replace(CARD, preprocess=Preprocess(size=64)) != CARD


def test_flops_of_an_image() -> None:
    assert CARD.image_flops(64 * 64) == 3.0 * 16
    assert replace(CARD, native=False).image_flops(64 * 64) == 3.0 * 4, "it is resized to 32 x 32"
    assert Flops(constant=1.0, linear=2.0, quadratic=3.0, patch_size=8)(16 * 16) == 1 + 2 * 4 + 3 * 16


def test_a_card_without_pixels_embeds_nothing() -> None:
    with pytest.raises(ConfigError, match="net: its card says no `preprocess`"):
        _ = replace(CARD, preprocess=None).pixels


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dim", 3.0),
        ("patch_size", 0),
        ("registers", -1),
        ("parameters", "many"),
        ("identity", None),
        ("flops", 5e9),
        ("preprocess", 224),
    ],
)
def test_values_that_cannot_be(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"the card of net: {key}="):
        replace(CARD, **{key: value})


@pytest.mark.parametrize(
    "values",
    [{"size": 0}, {"size": 32.0}, {"size": 8, "fit": "squish"}, {"size": 8, "crop_share": 0}]
    + [{"size": 8, "crop_share": share} for share in (3.0, -0.5, float("nan"))],
)
def test_pixels_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"Preprocess.{list(values)[-1]}="):
        Preprocess(**values)


@pytest.mark.parametrize(
    "values", [{"linear": float("nan")}, {"linear": -1.0}, {"constant": float("inf")}, {"patch_size": 0}]
)
def test_prices_that_cannot_be(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="finite numbers, whose sum is not below 0"):
        Flops(**values)
