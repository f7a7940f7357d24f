"""A gate's XML and Markdown: counts that agree, and names that stay names whatever they hold."""

from xml.etree import ElementTree

from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from siglino_core.evaluation.results.gate import Gate
from siglino_core.evaluation.results.gate_text import junit, markdown
from siglino_core.evaluation.results.invariants import Check
from tests.hostile import ALL, texts

GATE = Gate(
    checks=[
        Check(name="regression: knn on cub", passed=True, words="no drop"),
        Check(name="regression: knn on dtd", passed=False, words="a drop"),
        Check(name="retention: knn on cub", passed=True, words="no teacher", skipped=True),
    ]
)


def test_junit() -> None:
    root = ElementTree.fromstring(junit(GATE))
    suite = root[0]
    assert [node.tag for node in root.iter()][:2] == ["testsuites", "testsuite"]
    assert {k: suite.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "3",
        "failures": "1",
        "errors": "0",
        "skipped": "1",
    }
    assert [(c.get("classname"), c.get("name"), c[0].tag) for c in suite] == [
        ("siglino.gate.regression", "regression: knn on cub", "system-out"),
        ("siglino.gate.regression", "regression: knn on dtd", "failure"),
        ("siglino.gate.retention", "retention: knn on cub", "skipped"),
    ]
    assert suite[1][0].get("message") == "a drop"


def test_markdown_has_failures_first() -> None:
    lines = markdown(GATE).splitlines()
    assert lines[0] == "**Failed**: 1 of 3 checks."
    assert lines[4] == "| **failed** | regression: knn on dtd | a drop |"
    assert lines[6] == "| skipped | retention: knn on cub | no teacher |"
    passed = Gate(checks=[GATE.checks[0], GATE.checks[2]])
    assert markdown(passed).splitlines()[0] == "**Passed**: 2 checks, 1 of them skipped."
    assert markdown(Gate(checks=[])) == "**Passed**: 0 checks.\n"


def named(text: str) -> Gate:
    return Gate(checks=[Check(name=f"x{text}", passed=False, words=f"x{text}")])


@settings(max_examples=80)
@given(texts())
@example("".join(ALL))
def test_others_words_stay_words(text: str) -> None:
    root = ElementTree.fromstring(junit(named(text)))
    assert [node.tag for node in root.iter()] == ["testsuites", "testsuite", "testcase", "failure"]
    parsed = MarkdownIt("commonmark").enable("table").parse(markdown(named(text)))
    plain = MarkdownIt("commonmark").enable("table").parse(markdown(named("")))
    assert [b.type for b in parsed] == [b.type for b in plain]
