"""Pages and cards have the same elements, headings and keys whatever others wrote: only the words differ."""

from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from markdown_it import MarkdownIt

from siglino_core.config import Config
from siglino_core.models.processor import SigLinoImageProcessor
from siglino_core.report.cards import dataset_card
from siglino_core.report.curation import render
from siglino_core.weights.model_card import model_card
from tests.hostile import ALL, texts
from tests.siglino_core.models.tiny import TINY
from tests.siglino_core.report import samples

HARMLESS = "words"


class Elements(HTMLParser):
    """Every element of a page with the names of its attributes, and addresses that lead out of it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, ...]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, *(name for name, _ in attrs)))
        for name, value in attrs:
            assert not name.startswith("on")
            assert name not in ("href", "src") or (value or "").startswith(("data:", "#")), (tag, name, value)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def handle_decl(self, decl: str) -> None:
        assert decl == "doctype html"


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, ...]]:
    return Elements(render(samples.hostile(HARMLESS))).found


@settings(max_examples=25)
@given(texts())
@example("".join(ALL))
def test_a_page_has_the_same_elements(elements: list[tuple[str, ...]], text: str) -> None:
    page = render(samples.hostile(f"x{text}"))
    assert Elements(page).found == elements
    page.encode("utf-8")


def tokens(card: str) -> tuple[Any, list[str], set[str]]:
    """A card's front matter, its blocks in their order, and the kinds of marks inside lines."""
    front, _, prose = card.removeprefix("---\n").partition("\n---\n")
    blocks = MarkdownIt("commonmark").enable("table").parse(prose)
    inside = {child.type for block in blocks for child in block.children or ()}
    return yaml.safe_load(front), [block.type for block in blocks], inside - {"text", "text_special", "softbreak"}


@settings(max_examples=50)
@given(texts())
@example("".join(ALL))
def test_a_dataset_card_has_the_same_blocks_and_keys(text: str) -> None:
    one, other = (tokens(dataset_card(samples.hostile(t), Config(), licence=t)) for t in (HARMLESS, f"x{text}"))
    assert other[0].keys() == one[0].keys()
    assert isinstance(other[0]["pretty_name"], str)
    assert isinstance(other[0]["license"], str)
    assert other[1] == one[1]
    assert other[2] <= one[2]


@settings(max_examples=50)
@given(texts())
@example("".join(ALL))
def test_a_model_card_has_the_same_blocks_and_keys(text: str) -> None:
    one, other = (
        tokens(model_card(TINY, SigLinoImageProcessor(), name=t, source=t, parameters=9))
        for t in (HARMLESS, f"x{text}")
    )
    assert other[0] == one[0]
    assert other[1] == one[1]
    assert other[2] <= one[2]


def test_an_emoji_is_one_in_the_front_matter() -> None:
    card = dataset_card(samples.hostile("a 😀 b"), Config())
    assert tokens(card)[0]["pretty_name"] == "a 😀 b"
