"""What is learned from a sample, in words: on the page, in the card, in the headline."""

from typing import Any

import pytest

from siglino_core.config import Config
from siglino_core.report.cards import dataset_card
from siglino_core.report.curation import Learning, render
from siglino_core.report.headline import headline
from siglino_core.report.learning import how, points, sentence, verdict
from siglino_core.statistics.interval import Interval
from tests.siglino_core.report.samples import small

BETTER = Interval(mean=0.039, low=0.022, high=0.056, n=5)
UNCLEAR = Interval(mean=-0.012, low=-0.03, high=0.006, n=5)
NOT_TOLD = "by what it teaches this sample cannot be told from a random one of its size"
WORSE = Interval(mean=-0.05, low=-0.07, high=-0.03, n=5)


def learned(difference: Interval, **changes: Any) -> Learning:
    both = {"probe": Interval(mean=0.25, n=5), "probe_rare": Interval(mean=0.1, n=5)}
    made = {
        "curated": both,
        "random": both,
        "difference": {"probe": difference, "probe_rare": UNCLEAR},
        "splits": 5,
        "train": 1200,
        "test": 400,
        "labels": 73,
    }
    return Learning(**{**made, **changes})


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        (BETTER, "this sample teaches better than a random one of its size: probe +3.9 points (+2.2 to +5.6)"),
        (UNCLEAR, f"{NOT_TOLD}: probe -1.2 points (-3.0 to +0.6)"),
        (WORSE, "this sample teaches worse than a random one of its size: probe -5.0 points (-7.0 to -3.0)"),
        (Interval(mean=0.2), "one draw does not tell this sample from a random one of its size: probe +20.0 points"),
        (Interval(mean=0.167, low=-0.892, high=1.226, n=5), f"{NOT_TOLD}: probe +16.7 points (-89.2 to +122.6)"),
        (Interval(mean=0.0, low=0.0, high=0.0, n=5), f"{NOT_TOLD}: "),
        (Interval(mean=-0.03, low=-0.06, high=0.0, n=5), f"{NOT_TOLD}: "),
        (Interval(mean=0.03, low=0.0, high=0.06, n=5), f"{NOT_TOLD}: "),
    ],
)
def test_sentences(difference: Interval, said: str) -> None:
    assert sentence(difference).startswith(said)
    assert verdict(difference) in said or verdict(difference) == "not told apart"
    assert (NOT_TOLD in said) == (verdict(difference) == "not told apart") or difference.n == 1
    assert points(difference) in sentence(difference)


def test_how_it_was_measured() -> None:
    said = how(learned(BETTER))
    assert "1,200 images" in said
    assert "400 images" in said
    assert "73 labels" in said
    assert "5 such splits" in said


@pytest.mark.parametrize("difference", [BETTER, UNCLEAR, WORSE])
def test_page_card_and_headline_say_it(difference: Interval) -> None:
    report, said = small(learning=learned(difference)), sentence(difference).capitalize()
    page, card = render(report), dataset_card(report, Config())
    assert f"{said}." in page
    assert "What it teaches" in page
    assert "25.0%" in page
    assert "-1.2 points (-3.0 to +0.6)" in page  # of the rare half
    assert "## What it teaches" in card
    assert f"{said}. Ridge probes" in card
    assert headline(report).sentence.endswith(f" {said}.")


def test_a_run_that_measured_nothing_says_nothing() -> None:
    report = small()
    assert "teaches" not in render(report) + dataset_card(report, Config()) + headline(report).sentence
