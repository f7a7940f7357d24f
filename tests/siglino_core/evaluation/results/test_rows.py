"""Whose teacher is whose, what is partial, and how shares are written."""

import pytest

from siglino_core.evaluation.results.result import SANITY
from siglino_core.evaluation.results.rows import (
    OWN,
    graded,
    is_partial,
    points,
    row_order,
    said,
    sanity_order,
    span,
    task_order,
    teachers_of,
)
from siglino_core.models.encoder import STUDENT
from siglino_core.report.evaluation_words import SANITY_WORDS
from tests.siglino_core.evaluation.made import metric, result


def test_what_people_ask_for_first_comes_first() -> None:
    asked = ["geometry", "of_another_version", "segmentation", "zero_shot", "knn"]
    assert sorted(asked, key=task_order) == ["knn", "zero_shot", "segmentation", "geometry", "of_another_version"]


def test_a_network_named_as_its_own_view_teaches_the_views_of_that_name() -> None:
    rows = [("student", v) for v in ("siglip2", "dinov3", "siglino", "dinov3-text", "ensemble")]
    rows += [("untrained", "siglip2"), ("siglip2", "siglip2"), ("dinov3", "dinov3"), ("dinov3", "dinov3-text")]
    assert teachers_of([result(network=n, view=v) for n, v in rows]) == {
        ("student", "siglip2"): ("siglip2", "siglip2"),
        ("student", "dinov3"): ("dinov3", "dinov3"),
        ("student", "dinov3-text"): ("dinov3", "dinov3-text"),
        ("untrained", "siglip2"): ("siglip2", "siglip2"),
    }


def test_two_that_could_be_are_none_and_sanity_rows_are_no_teachers() -> None:
    rows = [("student", "x"), ("a", "a"), ("a", "x"), ("b", "b"), ("b", "x")]
    assert teachers_of([result(network=n, view=v) for n, v in rows]) == {}
    assert teachers_of([result(network="s", view="x"), result(network="x", view="x", sanity="chance")]) == {}


def test_a_student_without_a_name_of_its_own_is_taught_and_teaches_nobody() -> None:
    # it is called as its own features are: siglino
    assert OWN == STUDENT
    rows = [("siglino", v) for v in ("siglino", "lite", "lite_text")] + [("lite", "lite")]
    other = [("other", v) for v in ("siglino", "lite")]
    assert teachers_of([result(network=n, view=v) for n, v in rows + other]) == {
        ("siglino", "lite"): ("lite", "lite"),
        ("other", "lite"): ("lite", "lite"),
    }
    at = [(f"{n}@224", v) for n, v in rows]
    assert teachers_of([result(network=n, view=v) for n, v in at]) == {("siglino@224", "lite"): ("lite@224", "lite")}


def test_a_limit_makes_a_result_partial() -> None:
    assert is_partial(result(parameters={"limit": 10}))
    assert not is_partial(result(parameters={"limit": 0}))
    assert not is_partial(result())


def test_orders() -> None:
    taught = {("a", "t"): ("0", "t")}
    assert sorted([("0", "t"), ("b", "x"), ("a", "t")], key=lambda v: row_order(v, taught)) == [
        ("a", "t"),
        ("b", "x"),
        ("0", "t"),
    ]
    assert sorted(["shuffled_text", "", "chance"], key=sanity_order) == ["", "chance", "shuffled_text"]
    assert set(SANITY_WORDS) == set(SANITY)


@pytest.mark.parametrize(
    ("value", "text", "signed"),
    [
        (0.8243, "82.4", "+82.4"),
        (-0.031, "−3.1", "−3.1"),
        (0.0, "0.0", "0.0"),
        (-0.0001, "0.0", "0.0"),
        (0.0001, "0.0", "0.0"),
        (1.0, "100.0", "+100.0"),
        (-0.1004, "−10.0", "−10.0"),
    ],
)
def test_points(value: float, text: str, signed: str) -> None:
    assert points(value) == text
    assert points(value, signed=True) == signed


def test_spans() -> None:
    assert span(0.1, 0.2) == "10.0 to 20.0"
    assert span(-0.1, 0.2, signed=True) == "−10.0 to +20.0"
    assert span(None, 0.2) == ""
    assert said(metric(0.5)) == "50.0 (48.0 to 52.0)"


def test_networks_at_a_size_are_taught_by_those_at_that_size() -> None:
    rows = [("student", "siglip2"), ("siglip2", "siglip2"), ("student@224", "siglip2"), ("siglip2@224", "siglip2")]
    rows += [("student@512", "siglip2")]
    assert teachers_of([result(network=n, view=v) for n, v in rows]) == {
        ("student", "siglip2"): ("siglip2", "siglip2"),
        ("student@224", "siglip2"): ("siglip2@224", "siglip2"),
    }


def test_tasks_that_describe_are_not_graded() -> None:
    rows = [result(), result(task="geometry"), result(sanity="chance")]
    assert graded(rows) == rows[:1]
