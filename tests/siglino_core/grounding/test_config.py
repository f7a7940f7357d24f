"""The model's shape: what it refuses, and what follows from it."""

import pytest

from siglino_core.grounding.config import GroundingConfig
from tests.siglino_core.models.tiny import TINY


def test_a_texts_experts_at_work_are_twice_the_width() -> None:
    assert GroundingConfig(student=TINY).text_width == 32
    assert GroundingConfig(student=TINY, text_top_k=1).text_width == 64
    assert GroundingConfig(student=TINY, text_hidden=7).text_width == 7


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"text_experts": 0}, "text_experts=0: at least 1"),
        ({"text_top_k": 5}, "text_top_k=5: at most 4"),
        ({"text_hidden": -1}, "text_hidden=-1"),
        ({"bins": 1}, "bins=1: at least 2"),
        ({"fourier": 7}, "fourier=7: even"),
        ({"mask_scale": 0}, "mask_scale=0"),
        ({"text_theta": 1.0}, "text_theta=1.0"),
    ],
)
def test_values_out_of_range(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        GroundingConfig(student=TINY, **settings)  # type: ignore[arg-type]
