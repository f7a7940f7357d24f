"""The report's arithmetic and words: effective numbers, intervals, the headline, formats, charts."""

import dataclasses
import math

import numpy as np
import pytest

from siglino_core.report import charts, numbers, words
from siglino_core.report.axes import Scale, share_tick, short
from siglino_core.report.curation import Interval
from siglino_core.report.headline import headline, judge
from siglino_core.report.measures import doubling_bins, random_counts, ranked_shares
from siglino_core.statistics.diversity import effective_number
from tests.siglino_core.report import samples


def test_effective_number() -> None:
    assert effective_number([5, 5, 5, 5]) == pytest.approx(4)
    assert effective_number([100, 0, 0]) == pytest.approx(1)
    assert effective_number([]) == 0
    assert effective_number([0, 0]) == 0


def test_the_random_sample_is_of_the_size_and_always_the_same() -> None:
    pool = np.array([1000, 10, 0, 500])
    drawn = random_counts(pool, 151)
    assert drawn.sum() == 151
    assert (drawn <= pool).all()
    assert (drawn == random_counts(pool, 151)).all()
    assert (random_counts(pool, 10**9) == pool).all()
    assert random_counts(np.array([2 * 10**9, 10**9]), 300).sum() == 300


@pytest.mark.parametrize(("n", "t"), [(2, 12.706), (5, 2.776), (11, 2.228), (12, 2.201), (31, 2.042), (121, 1.980)])
def test_interval_is_students(n: int, t: float) -> None:
    values = list(np.random.default_rng(0).normal(size=n))
    found = Interval.of(values)
    assert found.high is not None
    assert found.n == n
    assert found.high - found.mean == pytest.approx(t * np.std(values, ddof=1) / n**0.5, rel=1e-3)


def test_one_value_has_no_interval() -> None:
    assert Interval.of([3.0]) == Interval(mean=3.0, n=1)
    assert math.isnan(Interval.of([]).mean)


@pytest.mark.parametrize(("ours", "outcome"), [(118.0, "better"), (93.0, "unclear"), (92.0, "worse"), (60.0, "worse")])
def test_ours_is_judged_against_the_strongest_baseline(ours: float, outcome: str) -> None:
    judged = judge(samples.balance(ours))
    assert judged is not None
    assert judged[0] == outcome
    assert judged[3].name == samples.DEDUP


def test_lower_is_better_where_it_is() -> None:
    found = samples.balance(118.0, junk=0.001)
    junk_only = dataclasses.replace(found, metrics=found.metrics[1:])
    judged = judge(junk_only)
    assert judged is not None
    assert judged[0] == "better"
    judged = judge(dataclasses.replace(samples.balance(118.0, junk=0.1), metrics=found.metrics[1:]))
    assert judged is not None
    assert judged[0] == "worse"


def test_one_draw_of_each_is_never_a_clear_gain() -> None:
    found = headline(samples.small(balance=samples.balance(118.0, repeats=1)))
    assert found.outcome == "unclear"
    assert "cannot tell it from chance" in found.sentence


def test_the_price_is_named() -> None:
    found = headline(samples.small(balance=samples.balance(118.0, junk=0.03)))
    assert found.outcome == "better"
    assert found.sentence.endswith("The price: junk 3.0% against 1.2%.")


def test_no_baseline_is_said() -> None:
    whole = samples.balance(118.0)
    alone = dataclasses.replace(whole, rows=whole.rows[2:])
    assert headline(samples.small(balance=alone)).sentence.endswith("No baseline was measured.")


def test_numbers_as_they_are_read() -> None:
    assert [numbers.number(v) for v in (1234567, 71.234, 0.01234, 12.0, float("nan"))] == [
        "1,234,567",
        "71.2",
        "0.0123",
        "12",
        "–",
    ]
    assert [numbers.percent(v) for v in (0.153, 1.0, 0.0, 1e-6)] == ["15.3%", "100.0%", "0.0%", "<0.1%"]
    assert [numbers.duration(s) for s in (0.42, 12.3, 59.97, 245, 12_000)] == [
        "0.42 s",
        "12.3 s",
        "1 min 00 s",
        "4 min 05 s",
        "3 h 20 min",
    ]


def test_text_is_made_printable_and_short() -> None:
    assert words.clean(" a\n\tb\x00\x1b[31m\ud800c ", 20) == "a b[31mc"
    assert words.clean("x" * 50, 10) == "x" * 9 + "…"
    assert words.reason_class('"><script>') == "r-other"
    assert words.block("a\nb\x00", 10) == "a\nb"


def test_histogram_counts_every_entry() -> None:
    names, shares = doubling_bins([0, 1, 2, 3, 4, 7, 8], [0, 0])
    assert names == ["0", "1", "2", "4", "8"]
    assert (shares[0] * 7).round().tolist() == [1, 1, 2, 2, 1]
    assert shares[1].tolist() == [1, 0, 0, 0, 0]


def test_curves_are_thin_whatever_the_number_of_clusters() -> None:
    ranks, shares = ranked_shares(np.arange(1_000_000))
    assert len(ranks) < 250
    assert (np.diff(ranks) > 0).all()
    assert (np.diff(shares) <= 0).all()


def test_ticks_are_round() -> None:
    assert Scale(low=0, high=10, start=0, stop=1).ticks(5) == [0, 2, 4, 6, 8, 10]
    assert Scale(low=0.001, high=0.2, start=0, stop=1, log=True).ticks() == [0.001, 0.003, 0.01, 0.03, 0.1]
    assert [short(v) for v in (1500, 20_000, 3e6, 0.05)] == ["1,500", "20k", "3M", "0.05"]
    assert share_tick(0.125) == "12.5%"


@pytest.mark.parametrize("values", [[], [0], [7], [0, 0], [5, 5]])
def test_charts_of_next_to_nothing(values: list[int]) -> None:
    series = [charts.Series(name="a", css="ours", values=values)]
    for made in (charts.rank_curves(series, "x", "alt", "y"), charts.histogram(series, "x", "alt", "y")):
        assert "nan" not in made
        assert 'aria-label="alt"' in made


def test_the_map_takes_any_coordinates() -> None:
    x, y = charts.fit(np.array([0, 1e9, np.nan, np.inf, -np.inf]), np.array([0, 0, 0, 1, 1e-9]))
    assert ((x >= 0) & (x <= charts.MAP_WIDTH) & (y >= 0) & (y <= charts.MAP_HEIGHT)).all()
    x, y = charts.fit(np.array([3.0]), np.array([3.0]))
    assert (x[0], y[0]) == (charts.MAP_WIDTH / 2, charts.MAP_HEIGHT / 2)
