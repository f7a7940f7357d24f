"""A comparison in words: every number, what was refused and why, and others' text that stays text."""

import io
from dataclasses import replace

from hypothesis import example, given, settings
from markdown_it import MarkdownIt
from rich.console import Console

from siglino_core.evaluation.results.compare import Comparison, compare
from siglino_core.evaluation.results.compare_text import chance, markdown, notes, terminal
from siglino_core.evaluation.results.matching import Key, Refused
from tests.hostile import ALL, texts
from tests.siglino_core.evaluation.results.test_compare import FIRST, SECOND, evaluation

KEY = Key(task="knn", dataset="dtd", network="student", view="siglip2")


def comparison(name: str = "old") -> Comparison:
    pair = compare(evaluation(FIRST), evaluation(SECOND)).pairs[0]
    return Comparison(
        first=name,
        second="new",
        pairs=[replace(pair, key=replace(pair.key, network=f"s{name}"))],
        refused=[Refused(key=KEY, why=f"the splits differ: {name}")],
        only_first=[KEY],
    )


def test_markdown() -> None:
    text = markdown(comparison())
    assert text.startswith("First: old. Second: new.")
    assert (
        "| knn | cub | sold | siglip2 | top1 | 60.0 | 50.0 | −10.0 | −17.5 to −2.5 | 0.013 | 0.013 | 10.7 | 200 |"
        in text
    )
    assert "- 1 compared on the same samples; 0 better and 1 worse by more than chance" in text
    assert "- not compared: knn on dtd, student siglip2: the splits differ: old" in text
    assert "- only in the first: knn on dtd, student siglip2" in text


def test_nothing() -> None:
    assert (
        markdown(Comparison(first="a", second="b", pairs=[])) == "First: a. Second: b.\n\nNothing could be compared.\n"
    )
    assert notes(Comparison(first="a", second="b", pairs=[])) == []


def test_groups_are_told() -> None:
    groups = [f"g{i // 10}" for i in range(200)]
    assert "200 in 20 groups" in markdown(compare(evaluation(FIRST, groups), evaluation(SECOND, groups)))


def test_the_terminal_has_the_same_and_obeys_nothing() -> None:
    out = io.StringIO()
    (made,) = terminal(comparison("[red]\x1b[2J"))
    Console(file=out, width=120, force_terminal=False).print(made)
    assert "k nearest neighbours on cub: top1, n = 200" in out.getvalue()
    assert "s[red]\\x1b[2J, siglip2" in out.getvalue()
    row = " ".join(out.getvalue().split("siglip2")[1].split())
    assert row == "60.0 50.0 −10.0 (−17.5 to −2.5) 0.013 10.7"


def test_the_terminal_has_a_table_a_metric_and_counts_where_they_differ() -> None:
    made = comparison()
    (pair,) = made.pairs
    others = [replace(pair, key=replace(pair.key, view="dinov3"), groups=20), replace(pair, key=KEY)]
    out = io.StringIO()
    for table in terminal(replace(made, pairs=[pair, *others])):
        Console(file=out, width=120, force_terminal=False).print(table)
    assert out.getvalue().count("nearest neighbours on") == 2
    assert "200 in 20 groups" in out.getvalue()


def test_p_values() -> None:
    assert [chance(p) for p in (1.0, 0.0123, 1e-4, 9e-5, 0.0)] == ["1", "0.012", "0.0001", "<0.0001", "<0.0001"]


def shapes(text: str) -> list[str]:
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown(comparison(f"x{text}")))
    inside = {c.type for b in parsed for c in b.children or ()} - {"text", "text_special"}
    return [block.type for block in parsed] + sorted(inside)


@settings(max_examples=40)
@given(texts())
@example("".join(ALL))
def test_others_words_stay_words(text: str) -> None:
    assert shapes(text) == shapes("words")
