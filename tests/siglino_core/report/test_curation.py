"""The curation page: complete, bounded, self-contained, and safe with other people's text."""

import re

import pytest

from siglino_core.report.curation import LIMIT, Funnel, render
from tests.siglino_core.report import samples

SECTIONS = ("funnel", "balance", "clusters", "map", "grids", "rejects", "lineage")
BAD = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'`&amp;</script><!--\u2028\x00\ud800 日本語 ‮abc 😀 "


@pytest.fixture(scope="module")
def page() -> str:
    return render(samples.small())


def text_of(page: str) -> str:
    """What a reader sees, on one line."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_every_section_is_there_in_order(page: str) -> None:
    found = re.findall(r'<section id="(\w+)"', page)
    assert tuple(found) == SECTIONS
    for name in SECTIONS:
        assert f'href="#{name}"' in page
        assert f'id="h-{name}"' in page


def test_the_head_says_what_it_is(page: str) -> None:
    text = text_of(page)
    assert "experiment smoke · seed 0 · 2026-03-14 09:26 UTC" in text
    assert "200 of 3,012 images kept; effective labels 71 → 118 (random → ours)" in text
    assert "Better balanced than every baseline" in text


def test_the_funnel_adds_up_or_says_so(page: str) -> None:
    assert "do not add up" not in page
    wrong = render(samples.small(funnel=Funnel(pool=1010, kept=10, drops=())))
    assert "1,000 images are unaccounted for" in wrong


def test_same_input_same_bytes(page: str) -> None:
    assert render(samples.small()) == page


def test_nothing_comes_from_outside() -> None:
    page = render(samples.hostile("see https://example.org/x.png url(https://example.org) //example.org/y.js"))
    markup = re.sub(r"<script>.*?</script>", "", page, flags=re.S)
    for name, value in re.findall(r"""\b(src|href|srcset|poster|action)\s*=\s*["']?([^"'\s>]+)""", markup):
        assert value.startswith(("data:", "#")), (name, value)
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.S))
    assert "url(" not in style
    assert "@import" not in style
    assert "default-src 'none'" in page
    assert not re.search(r"<(link(?! rel=\"icon\" href=\"data:,\")|iframe|object|embed|base)\b", page)


@pytest.mark.parametrize("text", [BAD, BAD * 300, "{{ 7*7 }}{% raw %}", "]]>", "", " \n\t "])
def test_other_peoples_text_stays_text(text: str) -> None:
    page = render(samples.hostile(text))
    own = page.count("<script")
    assert own == 2  # the map's data and the page's script
    assert page.count("</script>") == 2
    assert "onerror=alert(2)>" not in page
    assert "<!--" not in page
    assert "49" not in re.findall(r"<h1>.*?</h1>", page)[0]
    page.encode("utf-8")
    assert "\x00" not in page


def test_text_is_cut(page: str) -> None:
    long = render(samples.hostile("w" * 100_000))
    assert max(len(run) for run in re.findall("w+", long)) <= 60_000  # the config block
    assert len(long) < len(page) + 200_000


def test_json_of_the_map_cannot_be_left() -> None:
    page = render(samples.hostile(BAD))
    data = re.findall(r'<script type="application/json" id="map-data">(.*?)</script>', page, re.S)[0]
    assert "<" not in data
    assert "alert(1)" in data


def test_without_labels_only_clusters_are_judged() -> None:
    page = render(samples.without_labels())
    assert "This pool has no labels." in page
    assert "balance by meaning is not known" in page
    assert "Effective number of clusters" in page
    assert "commonest labels" not in page
    assert 'class="headline unknown"' in page


def test_worse_than_the_baseline_is_said() -> None:
    page = render(samples.small(balance=samples.balance(80.0)))
    text = text_of(page)
    assert "Not better than the baseline" in text
    assert "effective labels is 80 against 92" in text.replace("80.0", "80").replace("92.0", "92")
    assert "this recipe does not help here" in text
    assert 'class="headline worse"' in page


def test_no_rejects() -> None:
    page = render(samples.small(reject_counts={}, rejects=()))
    assert "No image was rejected" in page
    assert "Examples" not in page


def test_the_barest_report() -> None:
    page = render(
        samples.small(
            funnel=Funnel(pool=0, kept=0, drops=()),
            levels=(),
            balance=None,
            labels=None,
            map=None,
            grids=(),
            rejects=(),
            reject_counts={},
            stages=(),
            command="",
            config_yaml="",
            software={},
        )
    )
    assert tuple(re.findall(r'<section id="(\w+)"', page)) == SECTIONS
    assert "nan" not in page.lower().split("<body>")[1].split("<script>")[0]


def test_a_broken_image_is_a_placeholder() -> None:
    bad = samples.picture(1, "kept", data=b"\x89PNG\r\n\x1a\nrubbish", caption="broken")
    none = samples.picture(2, "kept", data=None, caption="absent")
    grid = samples.ClusterGrid(title="c", why="", pool_size=2, kept_size=2, kept=(bad, none), dropped=())
    page = render(samples.small(grids=(grid,)))
    text = text_of(page)
    assert "image not shown broken" in text
    assert "no image absent" in text


def test_every_image_has_an_alternative_text(page: str) -> None:
    pictures = re.findall(r"<img\b[^>]*>", page)
    assert len(pictures) == 9  # 8 tiles and the map's hover
    assert all(re.search(r'\balt="[^"]+"', p) for p in pictures if "hidden" not in p)
    assert all("aria-label=" in c or 'aria-hidden="true"' in c for c in re.findall(r"<svg\b[^>]*>", page))


@pytest.mark.parametrize(
    "text",
    ["😀" * 4000, pytest.param('"' * 4000, marks=pytest.mark.slow), pytest.param("<&" * 2000, marks=pytest.mark.slow)],
    ids=["emoji", "quotes", "markup"],
)
def test_the_largest_report_stays_under_the_limit(text: str) -> None:
    page = render(samples.largest(samples.image(3, (160, 160), "JPEG"), text))
    assert len(page.encode()) <= LIMIT
    assert page.count('src="data:image/') > 1000
    assert page.count('class="tile"') == 5000
