"""A few samples of a split: how many, which, and that they are the same each time."""

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.evaluation.data.limited import Limited
from siglino_core.evaluation.data.sample import EvalSample, Unit


@dataclass(frozen=True)
class Made:
    """A split of given units, whose samples are named by what the units say."""

    made: list[Unit]
    identity: str = "made"
    classes: tuple[str, ...] = ("a",)

    def units(self) -> list[Unit]:
        return self.made

    def read(self, unit: Unit) -> Iterator[EvalSample]:
        names: Any = unit.get("entries") or unit.get("tar") or []
        for name, start, stop in unit.get("reads", []):
            names = [*names, *(f"{name}:{row}" for row in range(start, stop))]
        return (EvalSample(sample_id=str(name), data=b"") for name in names)


def ids(limited: Limited) -> list[str]:
    return [s.sample_id for unit in limited.units() for s in limited.read(unit)]


def listed(*lengths: int) -> Made:
    starts = [sum(lengths[:i]) for i in range(len(lengths))]
    return Made([{"entries": list(range(s, s + n)), "rows": n} for s, n in zip(starts, lengths, strict=True)])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.integers(1, 40), st.integers(0, 3))
def test_of_lists_exactly_so_many_in_order(lengths: list[int], limit: int, seed: int) -> None:
    limited = Limited(split=listed(*lengths), limit=limit, seed=seed)
    found = [int(i) for i in ids(limited)]
    assert len(found) == min(limit, sum(lengths))
    assert found == sorted(set(found))
    assert all(len(u["entries"]) == u["rows"] > 0 for u in limited.units())


def test_they_come_from_all_over_and_follow_the_seed() -> None:
    found = [int(i) for i in ids(Limited(split=listed(500, 500), limit=100))]
    assert 30 < sum(i < 500 for i in found) < 70
    assert found != [int(i) for i in ids(Limited(split=listed(500, 500), limit=100, seed=1))]
    assert found == [int(i) for i in ids(pickle.loads(pickle.dumps(Limited(split=listed(500, 500), limit=100))))]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.integers(1, 200))
def test_of_spans_exactly_so_many(lengths: list[int], limit: int) -> None:
    units = [{"reads": [[f"f{i}", 5, 5 + n]], "rows": n} for i, n in enumerate(lengths)]
    limited = Limited(split=Made(units), limit=limit)
    found = ids(limited)
    assert len(found) == len(set(found)) == min(limit, sum(lengths))
    assert sum(u["rows"] for u in limited.units()) == len(found)
    assert set(found) <= {f"f{i}:{row}" for i, n in enumerate(lengths) for row in range(5, 5 + n)}


def test_spans_are_spread() -> None:
    units: list[Unit] = [{"reads": [["a", 0, 1000], ["b", 0, 1000]], "rows": 2000}]
    assert ids(Limited(split=Made([{"reads": [["c", 0, 10]], "rows": 10}]), limit=3)) == ["c:0", "c:3", "c:6"]
    assert ids(Limited(split=Made(units), limit=4)) == ["a:0", "a:500", "b:0", "b:500"]


def test_of_tars_the_first_of_some() -> None:
    units: list[Unit] = [{"tar": [f"{t}/{i}" for i in range(10)], "rows": 8} for t in range(5)]
    found = ids(Limited(split=Made(units), limit=7))
    assert len(found) == 7
    assert {f[0] for f in found} == set("01234")
    assert {f[2] for f in found} == {"0", "1"}
    assert len(ids(Limited(split=Made(units), limit=100))) == 50


def test_units_by_a_place_of_their_own_keep_it() -> None:
    class Scenes(Made):
        def read(self, unit: Unit) -> Iterator[EvalSample]:
            places = range(unit["first"], unit["first"] + unit["rows"])
            return (EvalSample(sample_id=str(i), data=b"") for i in places)

    made = Scenes([{"first": 0, "rows": 8}, {"first": 8, "rows": 8}])
    assert ids(Limited(split=made, limit=5)) in (["0", "1", "8", "9", "10"], ["0", "1", "2", "8", "9"])


def test_its_identity_says_that_it_is_a_part() -> None:
    made = listed(5)
    all_of_them = [made.identity, *(Limited(split=made, limit=n, seed=s).identity for n, s in ((3, 0), (4, 0), (3, 1)))]
    assert len(set(all_of_them)) == 4
    assert Limited(split=made, limit=3).classes == ("a",)


@pytest.mark.parametrize("limit", [1, 3])
def test_an_empty_split(limit: int) -> None:
    assert ids(Limited(split=Made([]), limit=limit)) == []
