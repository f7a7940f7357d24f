"""What a command prints of an evaluation: rows in their order, the best view, what is kept, what is not measured."""

import io
from typing import Any

from rich.console import Console

from flows.headlines import headlines, not_measured
from flows.screen import Screen


def row(network: str, view: str, value: float, sanity: str = "", **changes: Any) -> dict[str, Any]:
    where = {"task": "knn", "dataset": "cub", "network": network, "view": view, "sanity": sanity, "n": 1000}
    return {**where, "metric": "top1", "value": value, "low": value - 0.02, "high": value + 0.02, **changes}


ROWS = [
    row("untrained", "siglip2", 0.10),
    row("untrained", "dinov3", 0.10),
    row("untrained", "siglino", 0.10),
    row("student", "siglip2", 0.60),
    row("student", "ensemble (siglino)", 0.65),
    row("student", "dinov3", 0.55),
    row("siglip2", "siglip2", 0.80),
    row("other", "own", 0.99),
    row("siglip2", "siglip2", 0.01, "permuted_labels"),
    row("student", "siglip2", 0.02, "permuted_labels"),
    row("siglip2", "siglip2", 0.005, "chance", low=None, high=None),
    row("student", "siglip2", 0.005, "chance", low=None, high=None),
]


def printed(rows: list[dict[str, Any]], passed: tuple[str, ...] = (), width: int = 120) -> list[str]:
    out = io.StringIO()
    console: Console = Screen(file=out, width=width)
    headlines({"headlines": rows, "passed": list(passed)}, console)
    return [" ".join(line.split()) for line in out.getvalue().splitlines() if line.strip()]


def test_one_table_of_teachers_the_student_others_the_untrained_and_sanity_rows() -> None:
    assert printed(ROWS) == [
        "k nearest neighbours",
        "network, view cub: top1, n = 1,000 of teacher",
        "siglip2, siglip2 80.0 (78.0 to 82.0)",
        "student, dinov3 55.0 (53.0 to 57.0)",
        "student, ensemble (siglino) 65.0 (63.0 to 67.0) *",
        "student, siglip2 60.0 (58.0 to 62.0) 75.0%",
        "other, own 99.0 (97.0 to 99.0)".replace("99.0)", "101.0)"),
        "untrained, 3 views alike 10.0 (8.0 to 12.0)",
        "chance 0.5",
        "permuted labels 2.0 (0.0 to 4.0)",
        "Percent, with 95% intervals. *: the student's best view, chosen on these samples.",
    ]


def test_what_is_no_better_when_it_is_higher_has_no_best_and_no_share_of_a_teacher() -> None:
    lines = printed([{**one, "task": "geometry"} for one in ROWS if not one["sanity"]])
    assert not any("*" in line or "%" in line.replace("95%", "") for line in lines)


def test_heads_with_targets_of_their_own_have_no_best() -> None:
    lines = printed([{**one, "task": "fidelity"} for one in ROWS if one["network"] == "student" and not one["sanity"]])
    assert len(lines) == 6
    assert not any("*" in line for line in lines)


def test_sizes_of_a_network_are_beside_it() -> None:
    rows = [row(name, "a", 0.5) for name in ("untrained", "student@512", "student@64", "other", "student")]
    names = [line.partition(",")[0] for line in printed(rows)[2:-1]]
    assert names == ["student", "student@64", "student@512", "other", "untrained"]


def test_untrained_views_that_differ_are_told_apart() -> None:
    rows = [row("untrained", "a", 0.1), row("untrained", "b", 0.2)]
    assert [line.split(" ")[1] for line in printed(rows) if line.startswith("untrained")] == ["a", "b"]


def test_data_sets_stand_side_by_side_by_two() -> None:
    rows = [row("student", "siglino", 0.1 * i, dataset=f"d{i}", n=i) for i in range(1, 4)]
    heads = [line for line in printed(rows) if line.startswith("network, view")]
    assert heads == [
        "network, view d1: top1, n = 1 d2: top1, n = 2",
        "network, view d3: top1, n = 3",
    ]


def test_where_counts_differ_each_row_has_its_own() -> None:
    lines = printed([row("student", "a", 0.5, n=10), row("other", "a", 0.5, n=9)])
    assert "network, view cub: top1" in lines
    assert "student, a 50.0 (48.0 to 52.0), n = 10" in lines


def test_what_is_not_measured_is_merged_by_network_and_reason() -> None:
    said = not_measured(
        [
            "zero shot on pool by lite: no view has a text side",
            "retrieval on pool by lite: no view has a text side",
            "segmentation on composites by lite_text: it has no features of patches",
            "images of pool: 3 are like kept ones",
        ]
    )
    assert said == [
        "  not measured: zero shot on pool, retrieval on pool by lite: no view has a text side",
        "  not measured: segmentation on composites by lite_text: it has no features of patches",
        "  not measured: images of pool: 3 are like kept ones",
    ]


def test_nothing_was_measured() -> None:
    assert printed([], ("knn on pool by lite: it has no labels",)) == [
        "not measured: knn on pool by lite: it has no labels"
    ]


def test_names_obey_no_terminal() -> None:
    lines = printed([row("student", "v\x1b[2J", 0.5), row("student", "[red]w", 0.5)], ("a\x1b[2J by b: c",))
    assert not any("\x1b" in line for line in lines)
    assert any("[red]w" in line for line in lines)
