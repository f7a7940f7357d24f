"""What a page shows: half drawn, half the worst, one an image, and words for each."""

import io

import numpy as np
import pytest
from PIL import Image

from siglino_core.grounding.judged.shown import chosen, overlay, quality, verdict
from tests.siglino_core.grounding.judged.rows import SIDE, expression, mask, row, saying, series

BOX, HALF, AWAY = [0.0, 0.0, 10.0, 10.0], [0.0, 0.0, 10.0, 5.0], [10.0, 10.0, 20.0, 20.0]


def png(side: int = SIDE) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (200, 200, 200)).save(out, "PNG")
    return out.getvalue()


def test_half_is_drawn_and_half_is_worst() -> None:
    rows = [row(expression([BOX]), saying([BOX if i % 4 else AWAY]), f"i{i // 2}", i) for i in range(40)]
    found = series(rows)
    tiles = chosen(found, 8, seed=3)
    assert [worst for _, worst in tiles] == [False] * 4 + [True] * 4
    assert len({int(found.images_N[i]) for i, _ in tiles}) == 8
    assert all(quality(found)[i] == 0 for i, worst in tiles if worst)
    assert tiles == chosen(found, 8, seed=3)
    assert tiles != chosen(found, 8, seed=4)
    assert chosen(found, 0, seed=3) == []
    assert len(chosen(found, 200, seed=3)) == 20  # there are no more images


@pytest.mark.parametrize(
    ("true", "said", "words", "right"),
    [
        ([BOX], [HALF], "IoU 0.50: right", True),
        ([BOX], [AWAY, BOX], "IoU 0.00: wrong, and 1 more said", False),
        ([BOX], [], "missed: said to be absent", False),
        ([], [], "absent, and said so", True),
        ([], [BOX], "absent, but said to be there", False),
        ([BOX, AWAY], [BOX], "found 1 of 2, 0 wrong", False),
        ([BOX, AWAY], [BOX, AWAY], "found 2 of 2, 0 wrong", True),
    ],
)
def test_words(true: list[list[float]], said: list[list[float]], words: str, right: bool) -> None:
    found = series([row(expression(true), saying(said))])
    assert 0 <= quality(found)[0] <= 1
    assert verdict(found.table.to_pylist()[0], float(quality(found)[0])) == (words, right)


def test_a_box_that_was_asked_for_is_not_said_to_be_there() -> None:
    found = series([row(expression([]), saying([BOX], said=False))])
    assert verdict(found.table.to_pylist()[0], float(quality(found)[0])) == ("absent, and said so", True)
    assert quality(found)[0] == 1


def test_the_picture_is_large_enough_to_see_lines() -> None:
    said = saying([BOX], masks=(mask(0, 0, 10, 10),))
    found = series([row(expression([BOX], [mask(0, 0, 10, 10)]), said)]).table.to_pylist()[0]
    drawn = overlay(png(), found)
    assert drawn is not None
    with Image.open(io.BytesIO(drawn)) as picture:
        assert picture.size == (384, 384)
        assert np.asarray(picture)[100, 100].tolist() != [200, 200, 200]  # in the mask
        assert np.asarray(picture)[300, 300].tolist() == [200, 200, 200]
    with Image.open(io.BytesIO(overlay(png(1000), {**found, "masks": None}) or b"")) as picture:
        assert picture.size == (512, 512)
    assert overlay(b"no image", found) is None
