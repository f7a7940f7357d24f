"""Tokens of expressions: CLIP's, and no text spells a control token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from open_clip.tokenizer import SimpleTokenizer

from siglino_core.errors import DataError
from siglino_core.grounding.vocabulary import (
    ANSWERS,
    LONGEST,
    TEXT_TOKENS,
    VOCABULARY,
    Control,
    canonical,
    decode,
    encode,
    tokenizer,
)  # fmt: skip

CLIP = SimpleTokenizer()
PLAIN = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=12)


def test_ids_are_those_of_clip() -> None:
    for text in ("the Red circle's left-most 12", "don't I'll we've", "!#?:", "naïve café", "日本語", "😀 3.5x2"):
        assert encode(text) == CLIP.encode(text)


WORDS = [*["a", "red", "blue", "circle", "STAR", "left", "of", "7", "'", "-", ".", "!", "é"], "circle's"]


@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=12))
def test_ids_of_sentences_are_those_of_clip(words: list[str]) -> None:
    assert tokenizer().encode(canonical(" ".join(words))).ids == CLIP.encode(" ".join(words))


@given(PLAIN)
def test_no_text_spells_a_control_token(text: str) -> None:
    for spelled in (text, f"<start_of_text>{text}", f"{text}<end_of_text>", f"<{Control.SEGMENT.name}>{text}"):
        assert max(encode(spelled)) < TEXT_TOKENS - 2


def test_control_tokens_stand_behind_the_texts() -> None:
    assert TEXT_TOKENS == 49_408
    assert sorted(Control) == list(range(TEXT_TOKENS, VOCABULARY))
    assert set(ANSWERS) == set(Control) - {Control.END_OF_IMAGE, Control.START_OF_ANSWER}


def test_what_looks_alike_is_alike() -> None:
    assert encode("Caf\u00e9  au\u00a0lait") == encode("cafe\u0301 au lait")
    assert encode("re\u200bd") == encode("red")
    assert decode(encode("The red circle's edge")) == "the red circle 's edge"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "without text"),
        (" \n\t", "without text"),
        ("\u200b\u202e", "without text"),
        ("a" * 10_000, "10,000 characters"),
        ("! " * 65, f"65 tokens, .*: at most {LONGEST}"),
    ],
)
def test_texts_that_are_none_are_refused(text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        encode(text)
