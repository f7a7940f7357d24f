"""A grid's table in words: every arm a row, others' text stays text, numbers as people read them."""

import pytest
from rich.console import Console

from siglino_core.evaluation.results.ablation import FAILED, Line, Measure, Row, lines
from siglino_core.evaluation.results.ablation_text import markdown, notes, number, paper, sign, terminal

KNN = Measure(name="k_nn", title="kNN", paper={"good": 2.42, "bad": "down"})
SPEED = Measure(name="speed", unit="tokens/s", scale=1.0)


@pytest.fixture
def found() -> list[Line]:
    values = {"base": (0.5, 0.6, 0.55), "good": (0.55, 0.651, 0.6), "bad": (0.52, 0.59, 0.54)}
    rows = [
        Row(arm=arm, seed=s, metric="k_nn", value=v, low=v - 0.04, high=v + 0.04, n=700)
        for arm, of in values.items()
        for s, v in enumerate(of)
    ]
    rows += [Row(arm="lost", seed=s, state=FAILED, why="Error: a|b <x> `c`") for s in range(3)]
    return lines(rows, [KNN, SPEED], ["base", "good", "bad", "lost"], "base")


def test_markdown_has_a_table_a_measure_and_a_row_an_arm(found: list[Line]) -> None:
    text = markdown(found, [KNN, SPEED], title="a grid")
    assert text.startswith("## a grid\n\n**kNN, points**\n\n| arm |")
    assert "\n**speed, tokens/s**\n" in text
    rows = {
        line.split(" | ")[0][2:]: line for line in text.splitlines() if line.startswith(("| base", "| good", "| bad"))
    }
    cells = next(line for line in text.splitlines() if line.startswith("| good")).strip("| ").split(" | ")
    assert cells[:3] == ["good", "3", "60.03"]
    assert cells[3:5] == ["4.00", "+5.03"]
    assert cells[7:] == ["+2.42", "shows the paper's direction"]
    assert set(rows) == {"base", "good", "bad"}
    assert r"failed: Error: a\|b &lt;x> \`c\`" in text


def test_a_terminal_has_the_same_with_what_is_sure_in_bold(found: list[Line]) -> None:
    console = Console(width=200, record=True, force_terminal=True)
    (made, _) = terminal(found, [KNN, SPEED])
    console.print(made)
    styled = console.export_text(styles=True)
    (good,) = [line for line in styled.splitlines() if "good" in line and "+5.03" in line]
    assert "\x1b[1m" in good
    (bad,) = [line for line in styled.splitlines() if "bad" in line and "cannot tell" in line]
    assert "\x1b[1m" not in bad


def test_the_notes_count(found: list[Line]) -> None:
    assert notes(found)[0] == (
        "2 rows are compared with their baseline. Of 2 the paper says a direction: 1 show it, 0 the opposite, 1 cannot "
        "tell."
    )
    assert "about 0.1 would by chance alone" in notes(found)[1]


@pytest.mark.parametrize(
    ("value", "plain", "signed"),
    [(61.239, "61.24", "+61.24"), (-0.473, "−0.47", "−0.47"), (0.001, "0.00", "0.00"), (12345.6, "12,346", "+12,346")],
)
def test_numbers(value: float, plain: str, signed: str) -> None:
    assert (number(value), sign(value)) == (plain, signed)


def test_the_papers_word_or_number() -> None:
    assert [paper(p) for p in ("up", "down", 4.15, -0.93)] == ["higher", "lower", "+4.15", "−0.93"]
