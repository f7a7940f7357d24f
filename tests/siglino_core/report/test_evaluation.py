"""The evaluation's page: complete, bounded, self-contained, and safe with other people's text."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from siglino_core.evaluation.results.matching import Key
from siglino_core.evaluation.results.result import Result
from siglino_core.report.evaluation import BARE_LIMIT, LIMIT, evaluation_page
from tests.hostile import ALL, texts
from tests.siglino_core.report import evaluations, samples
from tests.siglino_core.report.test_browser import CHROMIUM, FLAGS
from tests.siglino_core.report.test_hostile import Elements

SECTIONS = ("leaderboard", "gate", "tasks", "resolution", "clusters", "worst", "limits")


@pytest.fixture(scope="module")
def page() -> str:
    return evaluations.page()


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page.split("<body>")[1]).split())


def test_every_section_is_there_in_order(page: str) -> None:
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == SECTIONS
    for name in SECTIONS:
        assert f'href="#{name}"' in page
        assert f'id="h-{name}"' in page


def test_the_numbers_are_there(page: str) -> None:
    text = text_of(page)
    assert "student siglip2 70.0% 68.0% to 72.0% 94.6% of siglip2" in text
    assert "test · top1 · n = 2,000" in text
    assert "mean of 2" in text
    assert "permuted labels (student siglip2)" in text
    assert "knn on cub: 3 samples could not be read and count as wrong." in text
    assert "retrieval on cub by student: no sample has a caption" in text
    assert "max_pixels 262144" in text
    assert "top1: wilson" in text
    assert "class 0 0.0%" in text
    assert "in no cluster 10" in text
    assert "is a robin" in text
    assert "The gate did not pass" in text
    assert "Not run: logistic probe, ridge probe, retrieval, linear segmentation, patch retrieval, fidelity to" in text
    assert "More that is not known." in text


def test_rows_that_say_the_same_are_one_row() -> None:
    made = [evaluations.one("knn", "cub", "untrained", view, 0.1) for view in ("a", "b", "c")]
    made += [evaluations.one("knn", "cub", "student", view, value) for view, value in (("a", 0.5), ("b", 0.6))]
    made += [evaluations.one("knn", "cub", "other", "a", 0.5)]
    made += [evaluations.one("knn", "cub", n, "a", 0.005, sanity="chance", per_class={}) for n in ("student", "other")]
    sanity = [("student", 0.01), ("other", 0.02)]
    made += [evaluations.one("knn", "cub", n, "a", v, sanity="permuted_labels", per_class={}) for n, v in sanity]
    board = evaluations.html(made, title="t").partition('<section id="leaderboard"')[2].partition("</section>")[0]
    names = re.findall(r'<th scope="row"><bdi>(.*?)</bdi>', board)
    assert names == [
        "other a",
        "student a",
        "student b",
        "untrained (3 views alike)",
        "chance",
        "permuted labels (other a)",
        "permuted labels (student a)",
    ]


def test_the_same_values_give_the_same_page_and_the_gate_shows_failures_first(page: str) -> None:
    assert evaluations.page() == page
    outcomes = re.findall(r'<td class="(failed|passed|skipped)">', page)
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {"failed", "passed"}


def test_nothing_comes_from_outside_and_nothing_runs(page: str) -> None:
    for name, value in re.findall(r"""\b(src|href|srcset|poster|action)\s*=\s*["']?([^"'\s>]+)""", page):
        assert value.startswith(("data:", "#")), (name, value)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "url(" not in page
    assert "nan" not in text_of(page).lower().split()


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, ...]]:
    return Elements(evaluations.page("words")).found


@pytest.mark.slow
@settings(max_examples=8)
@given(texts())
@example("".join(ALL).encode("utf-8", "ignore").decode())
def test_others_words_stay_words(elements: list[tuple[str, ...]], text: str) -> None:
    text = f"x{text}".replace("@", "").encode("utf-8", "ignore").decode()  # a network's size follows an @
    page = evaluations.page(text)
    assert Elements(page).found == elements
    page.encode("utf-8")


def test_the_barest_page() -> None:
    page = evaluation_page([], title="")
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == ("leaderboard", "tasks", "limits")
    assert "There are no results." in page
    assert "<h1><bdi>evaluation</bdi></h1>" in page


def test_a_passed_gate_and_partial_results() -> None:
    made = [evaluations.one("knn", "cub", "student", "siglip2", 0.5)]
    text = text_of(evaluations.html(made, title="t", gate=evaluations.checks(made)))
    assert "All 0 checks passed." in text
    partial = evaluations.one("knn", "cub", "student", "siglip2", 0.5, parameters={"limit": 8})
    text = text_of(evaluations.html([partial], title="t"))
    assert "Some results are over a part of their data set only" in text
    assert "partial, limit=8" in text


def test_a_metric_without_an_interval_and_a_row_without_a_data_set() -> None:
    metrics = {"miou": evaluations.Metric(value=0.4, n=5)}
    made = [
        evaluations.one("segmentation", "a", "s", "v", 0.5, metrics=metrics),
        evaluations.one("segmentation", "b", "t", "v", 0.5, metrics=metrics),
    ]
    text = text_of(evaluations.html(made, title="t"))
    assert "s v 40.0% –" in text
    assert "t v – 40.0%" in text


def test_missing_and_broken_images_are_said() -> None:
    table = evaluations.table(count=20)
    found = {evaluations.KEY: table}
    text = text_of(evaluations.html([], title="t", worst=found))
    assert "no image" in text
    text = text_of(evaluations.html([], title="t", worst=found, image=lambda i: b"rubbish"))
    assert "image not shown" in text


@pytest.mark.slow
def test_the_largest_page_stays_within_its_limit() -> None:
    words = "日本語" * 30
    made: list[Result] = []
    for d in range(30):
        for n in range(60):
            per_class = {f"{words} {c}": c / 1000 for c in range(200)}
            more = {"per_class": per_class, "hashes": {"network": str(n)}}
            made.append(evaluations.one("knn", f"{words}{d}", f"{words}{n}", words, 0.5, **more))
    data = samples.image(0, (400, 300), "JPEG")
    worst = {Key(task="knn", dataset=str(i), network="n", view="v"): evaluations.table(words, 100) for i in range(30)}
    page = evaluations.html(made, title=words, worst=worst, image=lambda i: data, limits=[words * 100] * 100)
    assert len(page.encode()) <= LIMIT
    bare = evaluations.html(made, title=words, limits=[words * 100] * 100)
    assert len(bare.encode()) <= BARE_LIMIT
    assert "more rows are in the results’ file" in bare


OUTER = """<!doctype html><iframe src="page.html" style="width:390px;height:800px;border:0"></iframe><pre></pre>
<script>onload = () => {
  const page = document.querySelector("iframe").contentWindow.document;
  const wide = [...page.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > 391 &&
    !e.closest(".scroll, pre, svg, .skip, .sr")).map((e) => e.outerHTML.slice(0, 80));
  const images = [...page.images].every((i) => i.complete && i.naturalWidth > 0);
  document.querySelector("pre").textContent = `${page.documentElement.scrollWidth <= 390} ${images} ${wide.join()}`;
};</script>"""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("text", ["", "unbroken" * 30], ids=["small", "long words"])
def test_the_page_in_chromium(tmp_path: Path, text: str) -> None:
    (tmp_path / "page.html").write_text(evaluations.page(text), encoding="utf-8")
    (tmp_path / "outer.html").write_text(OUTER, encoding="utf-8")
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={tmp_path}/profile", "--dump-dom", f"file://{tmp_path}/outer.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    assert re.findall(r"<pre>(.*?)</pre>", done.stdout, re.S)[0].strip() == "true true"
