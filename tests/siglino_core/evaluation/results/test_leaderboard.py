"""One table of results: what stands where, retention, and averages over equal data sets alone."""

import pytest

from siglino_core.errors import DataError
from siglino_core.evaluation.results.leaderboard import Column, Leaderboard, Row, leaderboard
from siglino_core.evaluation.results.result import Metric, Result
from tests.siglino_core.evaluation.made import metric, result

CUB = Column(task="knn", dataset="cub", split="test", metric="top1")
DTD = Column(task="knn", dataset="dtd", split="test", metric="top1")


def results() -> list[Result]:
    return [
        result(0.10, network="", view="", sanity="chance"),
        result(0.80, network="siglip2"),
        result(0.76),
        result(0.60, view="siglino"),
        result(0.50, network="siglip2", dataset="dtd"),
        result(0.50, dataset="dtd"),
        result(0.40, view="siglino", dataset="dtd"),
        result(0.12, sanity="permuted_labels"),
    ]


def row(board: Leaderboard, network: str, view: str, sanity: str = "") -> Row:
    return next(r for r in board.rows if (r.network, r.view, r.sanity) == (network, view, sanity))


def test_students_then_teachers_then_sanity_rows() -> None:
    board = leaderboard(results())
    assert [(r.network, r.view, r.sanity) for r in board.rows] == [
        ("student", "siglino", ""),
        ("student", "siglip2", ""),
        ("siglip2", "siglip2", ""),
        ("", "", "chance"),
        ("student", "siglip2", "permuted_labels"),
    ]
    assert board.columns == [CUB, DTD]
    assert leaderboard(results()[::-1]) == board


def test_retention_is_of_the_same_data_set() -> None:
    board = leaderboard(results())
    student = row(board, "student", "siglip2")
    assert student.cells[CUB].retention == pytest.approx(0.95)
    assert student.cells[DTD].retention == 1
    assert student.cells[CUB].teacher == ("siglip2", "siglip2")
    assert row(board, "student", "siglino").cells[CUB].retention is None
    assert row(board, "siglip2", "siglip2").cells[CUB].retention is None
    assert row(board, "student", "siglip2", "permuted_labels").cells[CUB].retention is None


def test_teachers_may_be_given() -> None:
    board = leaderboard(results(), teachers={("student", "siglino"): ("siglip2", "siglip2")})
    assert row(board, "student", "siglino").cells[CUB].retention == pytest.approx(0.75)
    assert row(board, "student", "siglip2").cells[CUB].retention is None


def test_a_teacher_of_nothing_has_no_share() -> None:
    board = leaderboard([result(0.5), result(0.0, network="siglip2"), result(0.5, dataset="x")])
    assert all(c.retention is None for r in board.rows for c in r.cells.values())


def test_averages_are_over_all_data_sets_of_a_task() -> None:
    board = leaderboard(results())
    student = row(board, "student", "siglip2").averages["knn"]
    assert student.mean.value == pytest.approx(0.63)
    assert student.rank == pytest.approx((2 + 1.5) / 2)
    assert row(board, "", "", "chance").averages == {}
    assert board.notes == []


def test_a_row_that_lacks_a_data_set_has_no_average_and_the_table_says_so() -> None:
    board = leaderboard(
        [*results(), result(0.9, network="more"), result(0.9, network="again"), result(0.1, task="ridge")]
    )
    assert row(board, "more", "siglip2").averages == {}
    assert row(board, "student", "siglip2").averages["knn"].rank == pytest.approx((2 + 1.5) / 2)
    assert len(board.notes) == 1
    assert "no average for again siglip2, more siglip2: averages are over the same 2 data sets" in board.notes[0]


def test_a_partial_result_has_no_average_and_is_marked() -> None:
    some = [r for r in results() if (r.network, r.dataset, r.sanity) != ("siglip2", "cub", "")]
    board = leaderboard([*some, result(0.8, network="siglip2", parameters={"limit": 100})])
    assert row(board, "siglip2", "siglip2").cells[CUB].partial
    assert row(board, "siglip2", "siglip2").averages == {}
    assert "knn on cub: partial, over a part of the split only." in board.notes


def test_other_numbers_of_samples_are_never_averaged_in_silence() -> None:
    some = [r for r in results() if (r.network, r.dataset, r.sanity) != ("siglip2", "cub", "")]
    board = leaderboard([*some, result(metrics={"top1": metric(0.8, n=990)}, network="siglip2")])
    assert all(r.averages == {} for r in board.rows)
    assert any("other numbers of samples (990, 1,000)" in note for note in board.notes)
    assert any("no average for" in note for note in board.notes)


def test_other_metrics_are_never_averaged() -> None:
    board = leaderboard([result(), result(dataset="coco", metrics={"recall": metric(0.5)})])
    assert all(r.averages == {} for r in board.rows)
    assert board.notes == ["knn: no average, as the data sets have other metrics."]


def test_one_data_set_has_no_average_and_needs_no_words() -> None:
    board = leaderboard([result(), result(task="ridge")])
    assert all(r.averages == {} for r in board.rows)
    assert board.notes == []


def test_unreadable_samples_are_told() -> None:
    assert leaderboard([result(n_failed=3)]).notes == ["knn on cub: 3 samples could not be read and count as wrong."]


def test_a_cell_is_there_once() -> None:
    with pytest.raises(DataError, match="knn on cub test: student siglip2 is there twice"):
        leaderboard([result(), result(metrics={"top1": Metric(value=1.0, n=1)})])


def test_nothing() -> None:
    assert leaderboard([]) == Leaderboard(columns=[], rows=[], tasks=[], notes=[])


def test_what_describes_has_no_average() -> None:
    found = leaderboard([result(0.5, "rank_share", task="geometry", dataset=d) for d in ("cub", "dtd")])
    assert found.rows[0].averages == {}
    assert found.notes == []
