"""An evaluation's pictures: marks where the numbers are."""

import re

import pytest

from siglino_core.report.evaluation_charts import Range, curves, interval_bar, scatter


def test_a_range_has_room_and_is_never_empty() -> None:
    room = Range.of([0.2, None, 0.6])
    assert (room.low, room.high) == (pytest.approx(0.176), pytest.approx(0.624))
    assert Range.of([0.5]).share(0.5) == pytest.approx(0.5)
    assert Range.of([]) == Range(low=0.0, high=1.0)
    assert Range.of([float("nan")]) == Range(low=0.0, high=1.0)
    assert Range(low=0.2, high=0.4).share(9) == 1


def test_an_interval_is_a_bar_with_a_mark() -> None:
    bar = interval_bar(0.5, 0.4, 0.7, Range(low=0.0, high=1.0), "ours")
    assert '<rect class="i-ours" x="400" width="300"' in bar
    assert '<rect class="f-ours" x="494" width="12"' in bar
    alone = interval_bar(1.0, None, None, Range(low=0.0, high=1.0), "pool")
    assert "i-pool" not in alone
    assert '<rect class="f-pool" x="988"' in alone


def test_curves_have_a_point_a_size_and_a_line_a_view() -> None:
    svg = curves([[(224, 0.5, 0.4, 0.6), (512, 0.8, None, None)], [(224, 0.1, 0.0, 0.2)]], 'a "chart"', "side", "top1")
    assert svg.count("<polyline") == 2
    assert svg.count("<circle") == 3
    assert svg.count('class="w-') == 2
    assert ">224<" in svg
    assert ">512<" in svg
    assert "&#34;chart&#34;" in svg
    xs = [float(x) for x in re.findall(r'<circle class="f-ours" cx="([\d.]+)"', svg)]
    assert xs[0] < xs[1]


def test_one_size_and_equal_values_are_drawn() -> None:
    assert "<circle" in curves([[(224, 0.5, None, None)]], "x", "side", "top1")
    assert scatter([(1.0, 0.5), (1.0, 0.5)], "x", "loss", "top1").count("<circle") == 2
