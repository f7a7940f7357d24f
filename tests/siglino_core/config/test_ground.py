"""Settings of grounding that cannot go together."""

import pytest

from siglino_core.config import GroundConfig, GroundLossConfig, GroundShapeConfig


def test_settings_that_cannot_go_together() -> None:
    with pytest.raises(ValueError, match="min_pixels: 1024 is above max_pixels=512"):
        GroundConfig(min_pixels=1024, max_pixels=512)
    with pytest.raises(ValueError, match="text_top_k: 3 is above text_experts=2"):
        GroundShapeConfig(text_experts=2, text_top_k=3)
    with pytest.raises(ValueError, match="fourier: 5 is odd"):
        GroundShapeConfig(fourier=5)


def test_a_loss_of_nothing() -> None:
    nothing = dict.fromkeys(("answer", "coordinate", "size", "box", "focal", "dice"), 0.0)
    with pytest.raises(ValueError, match="all weights are 0, so that nothing would be learnt"):
        GroundLossConfig(**nothing, gram=1.0)
    assert GroundLossConfig(**{**nothing, "dice": 1.0}).dice == 1
