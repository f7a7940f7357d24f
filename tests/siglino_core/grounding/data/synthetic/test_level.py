"""Levels: those that are there can be, and settings that cannot are named."""

from dataclasses import replace
from typing import Any

import pytest

from siglino_core.errors import ConfigError
from siglino_core.grounding.data.synthetic.level import EASY, LEVELS, Kind, Level


def test_levels_become_harder() -> None:
    assert list(LEVELS) == ["easy", "medium", "hard"]
    most = [level.objects[1] for level in LEVELS.values()]
    assert most == sorted(most)
    assert (EASY.kinds, EASY.hidden, EASY.objects) == ((Kind.ATTRIBUTE,), 0, (2, 2))
    assert all(0.15 <= level.absent <= 0.3 for level in LEVELS.values())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"objects": (0, 2)}, "1 to 20 objects"),
        ({"objects": (3, 2)}, "1 to 20 objects"),
        ({"objects": (3, 21)}, "1 to 20 objects"),
        ({"expressions": 0}, "an expression or more"),
        ({"sizes": ()}, "choose one or more of small, medium, large"),
        ({"colours": ("pink",)}, "choose one or more of red"),
        ({"shapes": ("cube",)}, "choose one or more of circle"),
        ({"kinds": ()}, "choose one or more of attribute"),
        ({"absent": 1.1}, "absent=1.1: it is a share"),
        ({"hidden": 0.95}, "hidden=0.95"),
        ({"cutouts": -0.1}, "cutouts=-0.1"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        replace(EASY, **settings)


def test_no_shapes_leaves_cut_outs_alone() -> None:
    assert Level(objects=(1, 1), shapes=()).shapes == ()
