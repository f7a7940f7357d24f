"""The leaderboard's texts: golden lines, columns that can be read back, and others' words that stay words."""

import csv
import io

from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from siglino_core.evaluation.results.leaderboard import leaderboard
from siglino_core.evaluation.results.leaderboard_text import csv_text, markdown
from siglino_core.evaluation.results.result import Metric, Result
from tests.hostile import ALL, texts
from tests.siglino_core.evaluation.made import result
from tests.siglino_core.evaluation.results.test_leaderboard import results


def test_markdown() -> None:
    lines = markdown(leaderboard(results())).splitlines()
    assert lines[0] == (
        "| network | view | knn cub test top1 (n = 1,000) | knn dtd test top1 (n = 1,000) | knn mean; rank |"
    )
    assert lines[3] == (
        "| student | siglip2 | 76.0 (74.0 to 78.0), 95.0% *of siglip2* | 50.0 (48.0 to 52.0), 100.0% *of siglip2* "
        "| 63.0 (61.6 to 64.4); 1.8 |"
    )
    assert lines[5] == "| *chance* |  | 10.0 (8.0 to 12.0) | – | – |"
    assert lines[6] == "| *permuted labels* student | siglip2 | 12.0 (10.0 to 14.0) | – | – |"
    assert "- Percent, with the 95% interval." in lines[8]


def test_a_partial_cell_says_so() -> None:
    assert "50.0 (48.0 to 52.0) (partial)" in markdown(leaderboard([result(parameters={"limit": 5})]))


def test_csv_reads_back() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(leaderboard(results())))))
    student = next(r for r in rows if (r["network"], r["view"], r["sanity"]) == ("student", "siglip2", ""))
    assert float(student["knn/cub/test/top1"]) == 0.76
    assert float(student["knn/cub/test/top1/low"]) == 0.74
    assert float(student["knn/cub/test/top1/retention"]) == 0.95
    assert student["knn/cub/test/top1/teacher"] == "siglip2 siglip2"
    assert student["knn/cub/test/top1/n"] == "1000"
    assert float(student["knn/mean"]) == 0.63
    assert rows[-1]["sanity"] == "permuted_labels"
    assert rows[-1]["knn/dtd/test/top1"] == ""


def test_no_interval_and_nothing() -> None:
    board = leaderboard([result(metrics={"top1": Metric(value=0.5, n=2)})])
    assert "| 50.0 |" in markdown(board)
    assert ",0.5,,,2,0,,,0" in csv_text(board)
    assert markdown(leaderboard([])).startswith("| network | view |\n")
    assert csv_text(leaderboard([])) == "network,view,sanity\n"


def shapes(text: str) -> list[str]:
    named: list[Result] = [result(network=f"x{text}", view=f"x{text}", dataset=f"x{text}"), result(dataset=f"x{text}")]
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown(leaderboard(named)))
    return [block.type for block in parsed] + sorted(
        {c.type for b in parsed for c in b.children or ()} - {"text", "text_special"}
    )


@settings(max_examples=50)
@given(texts())
@example("".join(ALL))
def test_others_words_stay_words(text: str) -> None:
    assert shapes(text) == shapes("words")
