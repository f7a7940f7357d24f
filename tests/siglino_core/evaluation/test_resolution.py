"""The gate lets small falls pass and RADIO's mode switch not."""

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.resolution import ModeSwitch, curve, mode_switch


def test_curve() -> None:
    assert curve({512: 0.8, 224: 0.7}) == [(224 * 224, 0.7), (512 * 512, 0.8)]


@pytest.mark.parametrize(
    ("at_768", "passed"), [(0.013, False), (0.779, False), (0.78, True), (0.79, True), (0.9, True)]
)
def test_gate(at_768: float, passed: bool) -> None:
    assert mode_switch({224: 0.1, 512: 0.8, 768: at_768}).passed == passed


def test_the_lowest_above_counts() -> None:
    found = mode_switch({512: 0.829, 768: 0.013, 1024: 0.002, 384: 0.0})
    assert found == ModeSwitch(reference=512, side=1024, fall=pytest.approx(0.827), passed=False)
    assert mode_switch({384: 0.5, 512: 0.45}, reference=384, tolerance=0.05).passed
    assert not mode_switch({384: 0.5, 512: 0.44}, reference=384, tolerance=0.05).passed


@pytest.mark.parametrize(
    ("by_side", "says"),
    [
        ({}, "no resolutions"),
        ({512: 0.5}, r"resolutions \[512\]: the gate needs 512 and one above"),
        ({224: 0.5, 768: 0.5}, "the gate needs 512"),
        ({512: float("nan"), 768: 0.5}, "nan at a side of 512"),
        ({0: 0.5}, "a side of 0"),
    ],
)
def test_refused(by_side: dict[int, float], says: str) -> None:
    with pytest.raises(DataError, match=says):
        mode_switch(by_side)
