"""The default cap on images, and the cost of an image."""

import numpy as np
import pytest

from siglino_core.distillation.packing import Cost, default_max_images
from siglino_core.models.config import PRESETS
from siglino_core.models.size import forward_flops


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
