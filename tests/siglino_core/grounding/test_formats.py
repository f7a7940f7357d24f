"""Other models' answers: boxes by hand, and whatever is malformed is no box, or one error."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from siglino_core.errors import DataError
from siglino_core.grounding import formats
from siglino_core.grounding.data.rle import encode
from siglino_core.grounding.formats import MOST_CHARACTERS, from_falcon, from_florence


def florence(text: str, width: int = 1000, height: int = 500) -> list[tuple[str, list, int]]:
    return [(a.query, a.boxes_K4.tolist(), a.malformed) for a in from_florence(text, width, height)]


def locs(*bins: int) -> str:
    return "".join(f"<loc_{b}>" for b in bins)


BOX = [100.5, 100.25, 300.5, 200.25]  # of the bins 100, 200, 300, 400 at their centres


def test_florence_by_hand() -> None:
    assert florence(f"</s><s>a green car{locs(100, 200, 300, 400)}</s>") == [("a green car", [BOX], 0)]
    two = florence(f"dog{locs(0, 0, 999, 999, 100, 200, 300, 400)} a cat {locs(100, 200, 300, 400)}<pad>the rest")
    assert two == [("dog", [[0.5, 0.25, 999.5, 499.75], BOX], 0), ("a cat", [BOX], 0)]


def test_a_phrase_that_comes_again_is_one_query() -> None:
    text = f"dog{locs(100, 200, 300, 400)}cat{locs(1, 2, 3, 4)}dog{locs(100, 200, 300, 400)}"
    assert [(q, len(b)) for q, b, _ in florence(text)] == [("dog", 2), ("cat", 1)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("no boxes at all", []),
        (locs(100, 200, 300, 400), [("", [BOX], 0)]),
        (f"dog{locs(1, 2, 3)}", [("dog", [], 1)]),
        (f"dog{locs(100, 200, 300, 400, 5)}", [("dog", [BOX], 1)]),
        (f"dog{locs(100, 200, 300, 1000)}", [("dog", [], 1)]),
        (f"dog{locs(300, 400, 100, 200)}", [("dog", [[300.5, 200.25, 100.5, 100.25]], 0)]),
        ("dog<loc_-1><loc_2><loc_3><loc_4>", [("dog<loc_-1>", [], 1)]),
        ("dog<loc_99999><loc_2><loc_3><loc_4><loc_5>", [("dog<loc_99999>", [[2.5, 1.75, 4.5, 2.75]], 0)]),
        ("dog<loc_1 ><loc_2>", [("dog<loc_1 >", [], 1)]),
        ("dog<loc_٣>", []),
    ],
)
def test_florence_malformed(text: str, expected: list) -> None:
    assert florence(text) == expected


@given(st.text(alphabet="<>loc_0123 a/s", max_size=80), st.integers(1, 4))
def test_any_text_is_an_answer(text: str, times: int) -> None:
    for answer in from_florence(text * times, 640, 480):
        assert answer.boxes_K4.shape[1] == 4
        assert ((answer.boxes_K4 > 0) & (answer.boxes_K4 < [640, 480] * 2)).all()


def test_florence_is_bounded() -> None:
    assert len(from_florence("<loc_1>" * 100_000, 10, 10)[0].boxes_K4) == 25_000
    assert from_florence("<" * MOST_CHARACTERS, 10, 10) == []
    assert from_florence("<loc_" * 200_000, 10, 10) == []
    with pytest.raises(DataError, match="1048577 characters"):
        from_florence("x" * (MOST_CHARACTERS + 1), 10, 10)
    with pytest.raises(DataError, match="a NoneType"):
        from_florence(None, 10, 10)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="0 x 10 pixels"):
        from_florence("", 0, 10)


def entry(x: Any = 0.5, y: Any = 0.25, h: Any = 0.5, w: Any = 0.2, **more: Any) -> dict[str, Any]:
    return {"xy": {"x": x, "y": y}, "hw": {"h": h, "w": w}, **more}


def test_falcon_by_hand() -> None:
    found = from_falcon([entry(), {"xy": [0.5, 0.5], "hw": [1, 1]}], "a dog", 200, 100)
    assert found.query == "a dog"
    assert found.boxes_K4.tolist() == [[80, 0, 120, 50], [0, 0, 200, 100]]
    assert (found.masks, found.malformed) == (None, 0)
    none = from_falcon([], "a dog", 200, 100)
    assert (none.boxes_K4.shape, none.masks) == ((0, 4), None)


def test_falcon_as_its_decoder_lists_it() -> None:
    entries = [
        {"x": 0.5, "y": 0.25},
        {"h": 0.5, "w": 0.2},
        {"x": 0.1, "y": 0.1},
        {"x": 0.5, "y": 0.5},
        {"h": 1, "w": 1},
    ]
    found = from_falcon([*entries, {"h": 1, "w": 1}, {"x": 0.2, "y": 0.2}], "a dog", 200, 100)
    assert found.boxes_K4.tolist() == [[80, 0, 120, 50], [0, 0, 200, 100]]
    assert found.malformed == 3
    assert from_falcon([{"x": 0.5, "y": 0.25}, entry(), {"h": 0.5, "w": 0.2}], "a dog", 200, 100).malformed == 2


def test_falcon_boxes_end_at_the_edges() -> None:
    assert from_falcon([entry(x=0.95, y=0.05)], "q", 200, 100).boxes_K4.tolist() == [[170, 0, 200, 30]]


def test_falcon_masks_count_if_every_box_has_one() -> None:
    mask_HW = np.zeros((100, 200), bool)
    mask_HW[3:9, 20:50] = True
    code = {"size": [100, 200], "counts": encode(mask_HW).decode()}
    found = from_falcon([entry(mask_rle=code)] * 2, "q", 200, 100)
    assert found.masks is not None
    assert all(np.array_equal(m, mask_HW) for m in found.masks)
    others: list[Any] = [None, 3, {"size": [200, 100], "counts": "x"}, code | {"counts": "S1"}, code | {"counts": 4}]
    for other in others:
        half = from_falcon([entry(mask_rle=code), entry(mask_rle=other)], "q", 200, 100)
        assert (len(half.boxes_K4), half.masks) == (2, None)


def test_falcon_masks_that_would_fill_the_memory_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    code = {"size": [100, 200], "counts": encode(np.ones((100, 200), bool)).decode()}
    monkeypatch.setattr(formats, "MOST_MASK_PIXELS", 2 * 100 * 200)
    assert from_falcon([entry(mask_rle=code)] * 2, "q", 200, 100).masks is not None
    assert from_falcon([entry(mask_rle=code)] * 3, "q", 200, 100).masks is None


@pytest.mark.parametrize(
    "bad",
    [
        None,
        "text",
        [0.5],
        {},
        {"xy": {"x": 0.5, "y": 0.5}},
        {"hw": {"h": 0.5, "w": 0.5}},
        entry(x=None),
        entry(x="0.5"),
        entry(x=True),
        entry(x=float("nan")),
        entry(x=1.01),
        entry(h=-0.1),
        entry(w=float("inf")),
        entry(w=10**400),
        {"xy": [0.5, 0.5, 0.5], "hw": [1, 1]},
        {"xy": "ab", "hw": [1, 1]},
    ],
)
def test_falcon_malformed_entries_are_no_boxes(bad: Any) -> None:
    found = from_falcon([entry(), bad, entry()], "q", 200, 100)
    assert (len(found.boxes_K4), found.malformed) == (2, 1)


def test_falcon_is_bounded() -> None:
    with pytest.raises(DataError, match=r"20001 entries to 'q\\x1b'"):
        from_falcon([entry()] * 20_001, "q\x1b", 10, 10)
    for wrong in ("text", {"xy": 1}, None):
        with pytest.raises(DataError, match="is a list"):
            from_falcon(wrong, "q", 10, 10)  # type: ignore[arg-type]
