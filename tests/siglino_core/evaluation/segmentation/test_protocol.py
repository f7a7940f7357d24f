"""The schedule, and the numbers of the protocols that results are compared by."""

import pytest

from siglino_core.evaluation.segmentation.protocol import QUICK, STRICT, schedule


def test_the_schedule_rises_and_falls_to_nothing() -> None:
    rates = [schedule(step, 100, 0.1) for step in range(101)]
    assert rates[0] == 1e-6
    assert rates[5] == pytest.approx(0.5, abs=1e-5)
    assert rates[10] == max(rates) == 1
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert schedule(0, 100, 0) == 1


def test_the_protocols_are_those_of_the_papers() -> None:
    assert STRICT.learning_rates == (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    assert round(STRICT.warmup * STRICT.steps) == 1500
    assert (STRICT.steps, STRICT.batch_size, STRICT.pixels, STRICT.weight_decay) == (40_000, 16, 0, 1e-3)
    assert (QUICK.steps, QUICK.epochs, len(QUICK.learning_rates), QUICK.dropout) == (0, 10, 8, 0.1)
