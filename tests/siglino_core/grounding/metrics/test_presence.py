"""Presence: by hand, as scikit-learn has it, and nothing for a constant answer."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import matthews_corrcoef

from siglino_core.errors import DataError
from siglino_core.grounding.metrics.presence import mcc, presence
from siglino_core.statistics.bootstrap import statistic_interval

ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)


def test_by_hand() -> None:
    said = [True] * 40 + [False] * 40 + [True] * 10 + [False] * 10
    true = [True] * 40 + [False] * 40 + [False] * 10 + [True] * 10
    found = presence(said, true)
    assert (found.accuracy, found.mcc, found.n) == (0.8, pytest.approx(0.6), 100)
    assert found.rows_N4.sum(0).tolist() == [40, 10, 10, 40]


@pytest.mark.parametrize("said", [True, False])
def test_a_constant_answer_knows_nothing(said: bool) -> None:
    found = presence([said] * 10, [True] * 8 + [False] * 2)
    assert found.accuracy == (0.8 if said else 0.2)
    assert found.mcc == 0
    assert presence([True, False], [True, True]).mcc == 0


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(ANSWERS)
def test_scikit_learn_says_the_same(answers: list[tuple[bool, bool]]) -> None:
    said, true = (np.array(v) for v in zip(*answers, strict=True))
    found = presence(said, true)
    assert found.mcc == pytest.approx(matthews_corrcoef(true, said), abs=1e-12)
    assert presence(~said, true).mcc == pytest.approx(-found.mcc, abs=1e-12)
    assert found.accuracy == (said == true).mean()


def test_counts_beyond_what_whole_numbers_hold() -> None:
    assert mcc(np.array([[4e12, 1e12, 1e12, 4e12]]))[0] == pytest.approx(0.6)
    assert mcc(np.array([[2_000_000_000] * 4], np.int64))[0] == 0


def test_rows_make_an_interval() -> None:
    rng = np.random.default_rng(0)
    true = rng.random(200) < 0.7
    found = presence(true ^ (rng.random(200) < 0.2), true)
    interval = statistic_interval(found.rows_N4, mcc)
    assert interval.mean == pytest.approx(found.mcc)
    assert interval.low is not None
    assert interval.high is not None
    assert interval.low < found.mcc < interval.high


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="both need bool"):
        presence([1, 0], [True, False])
    with pytest.raises(DataError, match="both need bool"):
        presence([True], [True, False])
    with pytest.raises(DataError, match="no samples"):
        presence(np.empty(0, bool), np.empty(0, bool))
