"""A grid's table: pairs by seed, verdicts that are as often wrong as they may be, and seeds that are missing."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.evaluation.results.ablation import (
    ALONE,
    BASELINE,
    FAILED,
    HIGHER,
    LOWER,
    OPPOSITE,
    SHOWS,
    UNMEASURED,
    UNSURE,
    WAITING,
    Line,
    Measure,
    Row,
    is_up,
    lines,
    read_rows,
    write_rows,
)

KNN = Measure(name="knn", paper={"up": 2.0, "down": "down"})


def rows_of(values: dict[str, list[float]], n: int = 0, metric: str = "knn") -> list[Row]:
    return [
        Row(arm=arm, seed=seed, metric=metric, value=value, low=value - 0.03, high=value + 0.03, n=n)
        for arm, of_arm in values.items()
        for seed, value in enumerate(of_arm)
    ]


def table(rows: list[Row], *arms: str) -> dict[str, Line]:
    return {line.arm: line for line in lines(rows, [KNN], ["base", *arms], "base")}


def test_a_difference_is_paired_by_seed_and_in_points() -> None:
    found = table(rows_of({"base": [0.50, 0.60, 0.70], "up": [0.53, 0.64, 0.735]}), "up")
    assert (found["base"].verdict, found["base"].over) == (BASELINE, None)
    assert found["base"].mean == pytest.approx(60.0)
    up = found["up"]
    assert up.over is not None
    assert up.over.mean == pytest.approx(3.5)
    assert up.over.low == pytest.approx(3.5 - 4.3027 * 0.5 / 3**0.5, abs=1e-3)
    assert up.sampling == pytest.approx(3.0)
    assert up.paper == 2.0
    assert up.verdict == SHOWS


@pytest.mark.parametrize(
    ("arm", "shift", "verdict"),
    [
        ("up", 0.05, SHOWS),
        ("up", -0.05, OPPOSITE),
        ("down", -0.05, SHOWS),
        ("down", 0.05, OPPOSITE),
        ("other", 0.05, HIGHER),
        ("other", -0.05, LOWER),
    ],
)
def test_a_real_difference_is_named(arm: str, shift: float, verdict: str) -> None:
    base = [0.5, 0.6, 0.55]
    found = table(
        rows_of({"base": base, arm: [b + shift + d for b, d in zip(base, (0, 0.004, -0.004), strict=True)]}), arm
    )
    assert found[arm].verdict == verdict


def test_what_cannot_be_told_says_what_could_have_been() -> None:
    found = table(rows_of({"base": [0.5, 0.5, 0.5], "up": [0.52, 0.49, 0.51]}), "up")["up"]
    assert found.over is not None
    assert found.over.detectable is not None
    assert found.verdict == f"{UNSURE} (minimum detectable difference {found.over.detectable:.3g} points)"
    assert found.over.detectable == pytest.approx(5.6535 * np.std([2, -1, 1], ddof=1) / 3**0.5, rel=1e-3)


def simulated(rng: np.random.Generator, true: float, seeds: int, n: int) -> list[Row]:
    """Trainings whose accuracy differs by seed, alike for both arms, and each by itself; answers of ``n`` images."""
    shared = rng.normal(0.55, 0.03, seeds)
    values = {}
    for arm, of in (("base", shared), ("up", shared + true)):
        share = np.clip(of + rng.normal(0, 0.01, seeds), 0, 1)
        values[arm] = (np.round(share * n) / n).tolist()
    return rows_of(values, n)


def share_of(true: float, *verdicts: str, seeds: int = 3, n: int = 700, times: int = 1500) -> float:
    rng = np.random.default_rng(7)
    found = [table(simulated(rng, true, seeds, n), "up")["up"].verdict for _ in range(times)]
    return float(np.mean([v in verdicts for v in found]))


@pytest.mark.parametrize(("seeds", "n"), [(2, 700), (3, 700), (3, 60), (5, 700)])
def test_without_a_difference_a_direction_is_shown_once_in_twenty_at_most(seeds: int, n: int) -> None:
    assert share_of(0.0, SHOWS, OPPOSITE, seeds=seeds, n=n) <= 0.05 + 0.012  # two standard errors of 1,500 draws


def test_a_large_difference_is_found_and_the_wrong_direction_is_not() -> None:
    assert share_of(0.15, SHOWS) > 0.95
    assert share_of(-0.15, OPPOSITE) > 0.95
    assert share_of(0.15, OPPOSITE) == 0.0


def test_what_the_detectable_difference_promises_is_kept() -> None:
    true = 0.01 * 2**0.5 * 5.6535 / 3**0.5  # of the spread that the simulation has
    assert share_of(true, SHOWS) == pytest.approx(0.8, abs=0.04)


def test_seeds_without_a_pair_do_not_count_and_are_told() -> None:
    rows = rows_of({"base": [0.5, 0.5, 0.5], "up": [0.55, 0.56]})
    rows.append(Row(arm="up", seed=2, state=FAILED, why="DataError: no image"))
    up = table(rows, "up")["up"]
    assert up.over is not None
    assert (up.over.n, up.seeds) == (2, 2)
    assert up.why == "seed 2 failed: DataError: no image"


def test_arms_without_numbers_say_why() -> None:
    rows = rows_of({"base": [0.5, 0.5]})
    rows += [Row(arm="up", seed=s, state=FAILED, why="DataError: no image") for s in range(2)]
    rows += [Row(arm="down", seed=s, metric="knn", state=UNMEASURED, why="no text") for s in range(2)]
    rows += [Row(arm="other", seed=0, state=WAITING)]
    found = table(rows, "up", "down", "other", "never")
    assert found["up"].verdict == "failed: DataError: no image"
    assert found["down"].verdict == "not measured: no text"
    assert found["other"].verdict == "not finished"
    assert found["never"].verdict == ALONE
    assert all(found[arm].mean is None for arm in ("up", "down", "other", "never"))


def test_one_pair_is_no_interval() -> None:
    assert table(rows_of({"base": [0.5], "up": [0.9]}), "up")["up"].verdict == ALONE
    apart = [Row(arm="base", seed=0, metric="knn", value=0.5), Row(arm="up", seed=1, metric="knn", value=0.9)]
    assert table(apart, "up")["up"].verdict == ALONE


def test_a_number_that_is_there_twice_is_refused() -> None:
    rows = rows_of({"base": [0.5]})
    with pytest.raises(DataError, match="knn of base, seed 0, is there twice"):
        lines([*rows, *rows], [KNN], ["base"], "base")


def test_another_scale_and_unit() -> None:
    speed = Measure(name="speed", unit="tokens/s", scale=1.0)
    rows = rows_of({"base": [2000.0, 2100.0], "up": [2005.0, 2095.0]}, metric="speed")
    (_, up) = lines(rows, [speed], ["up", "base"], "base")
    assert up.mean == 2050.0
    assert up.verdict.endswith("tokens/s)")


def test_the_papers_direction() -> None:
    assert [is_up(p) for p in (4.15, -0.9, "up", "down")] == [True, False, True, False]


finite = st.floats(-1e6, 1e6)


@given(st.lists(st.builds(Row, arm=st.text(), seed=st.integers(0, 9), value=st.none() | finite, why=st.text())))
def test_rows_come_back_as_they_were_written(rows: list[Row]) -> None:
    data = write_rows(rows)
    assert [dataclasses.asdict(r) for r in read_rows(data, "rows")] == [dataclasses.asdict(r) for r in rows]
    assert all(isinstance(json.loads(line), dict) for line in data.splitlines())


@pytest.mark.parametrize("line", ["[1]", "{", '{"arm": "a"}', '{"arm": "a", "seed": 1, "odd": 2}'])
def test_other_lines_are_refused_by_their_number(line: str) -> None:
    good = write_rows([Row(arm="a", seed=0)])
    with pytest.raises(DataError, match=r"rows\.jsonl, line 2: no row of an ablation"):
        read_rows(good + line.encode() + b"\n", "rows.jsonl")
