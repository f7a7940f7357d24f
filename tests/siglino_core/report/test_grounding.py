"""The page of answers: whole, bounded, and never obeying other people's text."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from PIL import Image

from siglino_core.report.grounding import LIMIT, grounding_page
from tests.hostile import ALL, texts
from tests.siglino_core.report.test_hostile import Elements


def picture(seed: int = 0, side: int = 400) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def metric(value: float, **settings: Any) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40, "method": "bootstrap"} | settings


def result(network: str, view: str, value: float, sanity: str = "", **settings: Any) -> dict[str, Any]:
    metrics = {"accuracy@0.5": metric(value), "mean_iou": metric(value / 2, n=40), "above_best_baseline": metric(0.2)}
    about = {"task": "grounding_box", "network": network, "view": view, "sanity": sanity, "n": 40, "n_failed": 0}
    return {**about, "metrics": metrics, **settings}


def a_set(words: str, tiles: int = 4, data: bytes | None = None) -> dict[str, Any]:
    return {
        "name": words,
        "counts": [("images", 10), (words, 40)],
        "results": [
            result("grounding", "free", 0.6),
            result(words, "free", 0.3, n_failed=4),
            result("baseline", "centre box", 0.2, "constant_features"),
        ],
        "verdicts": [{"above": True, "words": words}, {"above": False, "words": words}],
        "buckets": [{"name": "3-5", "samples": 7, "found": 5, "missed": 2, "invented": 1}],
        "tiles": [
            {"text": words, "verdict": words, "good": i % 2 == 0, "worst": i >= 2, "data": data} for i in range(tiles)
        ],
    }


def test_it_holds_every_number_with_its_interval() -> None:
    page = grounding_page([a_set("scenes", data=picture())], title="run", about="free", notes=["no masks"])
    assert "60.0%" in page
    assert "50.0% to 70.0%" in page
    assert "n = 40" in page
    assert "<bdi>centre box</bdi>" in page
    assert "10.0% without an answer" in page
    assert "Above the best baseline" in page
    assert "Not above the best baseline" in page
    assert "above best baseline</bdi></th>" not in page  # the words say it
    assert "no masks" in page
    assert page.count("data:image/") == 4
    assert page == grounding_page([a_set("scenes", data=picture())], title="run", about="free", notes=["no masks"])


@pytest.fixture(scope="module")
def elements() -> list[tuple[str, ...]]:
    return Elements(grounding_page([a_set("words")], title="words", about="words", notes=["words"])).found


@settings(max_examples=25)
@given(texts())
@example("".join(ALL))
def test_other_peoples_text_stays_text(elements: list[tuple[str, ...]], text: str) -> None:
    page = grounding_page([a_set(f"x{text}")], title=f"x{text}", about=f"x{text}", notes=[f"x{text}"])
    assert Elements(page).found == elements
    page.encode("utf-8")


def test_it_stays_below_its_limit() -> None:
    data = [picture(i) for i in range(3)]  # noise, which nothing makes small
    sets = [a_set("long words " * 30, tiles=0) for _ in range(25)]
    for one in sets:
        one["tiles"] = [
            {"text": "word " * 100, "verdict": "wrong", "good": False, "worst": True, "data": data[i % 3]}
            for i in range(300)
        ]
    page = grounding_page(sets, title="run")
    assert len(page.encode()) <= LIMIT
    assert "more are not shown" in page
    assert "5 more test sets are in the results" in page


def test_nothing_at_all_is_a_page() -> None:
    assert "There are no test images" in grounding_page([], title="")
    one = {**a_set("bare", tiles=1), "results": [], "verdicts": [], "buckets": []}
    assert "image not shown" in grounding_page([one], title="bare")
