"""The table of recipes: its numbers are those of the committed rows, seed by seed."""

import pytest

from scripts.docs import recipes_page
from scripts.docs.recipes_page import BEGIN, PAGE, cell, difference, each_pool, means
from siglino_core.statistics.interval import Interval


def row(method: str, pool: str = "a", **figures: list[float]) -> dict:
    keys = recipes_page.COLUMNS.values()
    told = {"pool": pool, "network": "lite0", "images": 1000, "labels": 9, "target": 94, "method": method}
    return {**told, "figures": {key: figures.get(key, [0.5, 0.5]) for key in keys}}


ROWS = [
    row("random", effective_labels=[10, 20]),
    row("default", effective_labels=[11, 22], probe=[0.6, 0.6], student=[0.1, 0.1]),
    row("random", "b"),
    row("default", "b", probe=[0.7, 0.7]),
    row("k_centre", "b", junk=[0.6, 0.6]),
]


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(BEGIN) == 1
    assert text == recipes_page.recipes_page(text), "run python -m scripts.docs.recipes_page"


def test_the_readme_has_the_table_of_the_first_network() -> None:
    table = means(recipes_page.of_kind(recipes_page.read_rows(), fresh=True), "lite0").strip().split("\n", 2)[2]
    assert table.count("\n") >= 5
    assert table in (PAGE.parent.parent / "README.md").read_text(encoding="utf-8")


def test_differences_are_seed_by_seed_in_points_and_labels_in_percent() -> None:
    assert difference(ROWS[1], ROWS[0], "effective_labels") == pytest.approx([10, 10])
    assert difference(ROWS[1], ROWS[0], "probe") == pytest.approx([10, 10])


def test_means_are_over_pools_and_say_on_how_many_a_method_was_had() -> None:
    text = means(ROWS, "lite0")
    assert "means over 2 pools on which the default was chosen, EfficientNet-Lite0" in text
    assert "| the default recipe | +15.0 ± 0.0 |" in text
    assert "| k-centre of the whole pool (1 pools) |" in text
    assert "**+10.0 ± 0.0** |" in text  # its junk


def test_fresh_pools_stand_first_and_are_marked() -> None:
    fresh = [{**row, "pool": "units"} for row in ROWS[:2]]
    text = recipes_page.results([*ROWS, *fresh])
    assert text.index("means over 1 fresh pools") < text.index("means over 2 pools on which")
    assert "| *units* (1,000, 9) |" in text
    assert "| a (1,000, 9) |" in text


def test_what_is_worse_beyond_its_interval_is_bold() -> None:
    assert cell("probe", Interval(mean=-2, low=-3, high=-1, n=2)) == "**-2.0 ± 1.0**"
    assert cell("probe", Interval(mean=-2, low=-5, high=1, n=2)) == "-2.0 ± 3.0"
    assert cell("junk", Interval(mean=2, low=1, high=3, n=2)) == "**+2.0 ± 1.0**"
    assert "| a (1,000, 9) | +10.0 ± 0.0 | **-40.0 ± 0.0** | +10.0 ± 0.0 | +0.0 ± 0.0 |" in each_pool(ROWS, ["lite0"])
