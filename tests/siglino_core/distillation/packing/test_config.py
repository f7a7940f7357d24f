"""Settings of packing: ranges, the default cap on images, and the cost of an image."""

from typing import Any

import numpy as np
import pytest

from siglino_core.distillation.packing import Cost, Match, PackingConfig, default_max_images
from siglino_core.models.config import PRESETS
from siglino_core.models.size import forward_flops


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"packs_per_step": 0}, "packs_per_step=0: at least 1"),
        ({"capacity": 0}, "capacity=0: at least 1"),
        ({"capacity": 2**31}, "capacity=2147483648: under 2"),
        ({"max_images": 0}, "max_images=0: at least 1"),
        ({"prefix": -1}, "prefix=-1: at least 0"),
        ({"look_ahead": 12}, "look_ahead=12: a multiple of 8"),
        ({"look_ahead": 0}, "look_ahead=0: a multiple of 8"),
        ({"window": 0}, "window=0: at least 1"),
        ({"block": 0}, "block=0: at least 1"),
        ({"match": "best"}, "match=best: one of none, shards, global"),
    ],
)
def test_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PackingConfig(**{"packs_per_step": 8, **values})


def test_match_may_be_a_word() -> None:
    assert PackingConfig(packs_per_step=8, match="shards").match == Match.SHARDS  # type: ignore[arg-type]


def test_the_cap_grows_with_capacity_and_with_small_images() -> None:
    assert default_max_images(4096, 1200) == 16
    assert default_max_images(4096, 240) == 26
    assert default_max_images(8192, 240) == 52
    assert default_max_images(100, 100) == 16


@pytest.mark.parametrize("name", PRESETS)
def test_cost_is_the_students_own(name: str) -> None:
    cost = Cost.of(PRESETS[name])
    assert cost.linear > 0
    assert cost.quadratic > 0
    for n in (5, 261, 2309, 4096):
        assert cost(np.array([n]), np.array([n * n]))[0] == pytest.approx(forward_flops(PRESETS[name], n), rel=1e-9)


def test_costs_add_up() -> None:
    assert Cost(linear=1, quadratic=2) + Cost(linear=3, quadratic=5) == Cost(linear=4, quadratic=7)
