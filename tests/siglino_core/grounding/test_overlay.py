"""Overlays: what is drawn where, on any image, and nothing that cannot be drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from siglino_core.grounding.overlay import COLOURS, draw
from siglino_core.grounding.predict import Instance

NAN, INF = float("nan"), float("inf")


def one(*box: float, score: float = 0.5, mask: np.ndarray | None = None) -> Instance:
    return Instance((box[0], box[1], box[2], box[3]), score, mask, 0.9)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


@pytest.mark.parametrize("ground", [0, 128, 255])
def test_a_box_has_its_colour_and_a_dark_rim_on_any_ground(ground: int) -> None:
    picture = Image.new("RGB", (100, 80), (ground,) * 3)
    drawn = draw(picture, [one(20, 30, 60, 70)])
    assert drawn.size == picture.size
    assert pixels(picture).max() == ground  # as it was
    found = pixels(drawn)
    assert found[50, 20].tolist() == [0, 0, 0]
    assert found[50, 21].tolist() == list(COLOURS[0])
    assert found[50, 22].tolist() == [0, 0, 0]
    assert found[50, 40].tolist() == [ground] * 3
    assert found[50, 59].tolist() == [0, 0, 0]  # half-open: 60 is outside
    assert found[50, 60].tolist() == [ground] * 3
    assert (found[10:30, 20:45] == COLOURS[0]).all(-1).sum() > 20  # the plate with the score


def test_a_mask_is_half_transparent_and_every_instance_has_its_colour() -> None:
    mask_HW = np.zeros((60, 60), np.bool_)
    mask_HW[40:50, 40:50] = True
    found = pixels(draw(Image.new("RGB", (60, 60), "white"), [one(0, 0, 30, 30), one(35, 35, 55, 55, mask=mask_HW)]))
    assert found[45, 45].tolist() == [round((255 + c) / 2) for c in COLOURS[1]]
    assert found[58, 58].tolist() == [255] * 3
    assert found[20, 1].tolist() == list(COLOURS[0])


def test_true_boxes_are_dashed_in_white_and_black() -> None:
    found = pixels(draw(Image.new("RGB", (100, 100), (90, 90, 90)), [], [[10, 10, 90, 90], [0, 0, 0, 0]]))
    edge = [tuple(p) for p in found[10, 10:90].tolist()]
    assert {(0, 0, 0), (255, 255, 255)} == set(edge)
    assert 0.4 < edge.count((255, 255, 255)) / len(edge) < 0.6
    assert (found[50, 50] == 90).all()


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 30),
        (30, 10, 10, 30),
        (NAN, 0, 10, 10),
        (0, 0, INF, 10),
        (70, 10, 90, 30),
        (-30, 10, -5, 30),
        (0, -9, 5, 0),
    ],
)
def test_what_cannot_be_drawn_is_left_out(box: tuple[float, ...]) -> None:
    picture = Image.new("RGB", (60, 60), (10, 20, 30))
    wrong = np.ones((3, 3), np.bool_)
    assert (pixels(draw(picture, [one(*box, mask=wrong)], [box])) == pixels(picture)).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 3), (900, 20)])
def test_any_size_and_any_box_that_reaches_beyond(size: tuple[int, int]) -> None:
    drawn = draw(Image.new("L", size, 99), [one(-100, -100, 2000, 2000), one(0, 0, 1, 1)], [[-5, -5, 3000, 3000]])
    assert (drawn.size, drawn.mode) == (size, "RGB")


def test_bytes_and_arrays_are_images_and_nonsense_is_none() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (30, 20), (255, 0, 0, 0)).save(out, "PNG")
    assert pixels(draw(out.getvalue(), []))[0, 0].tolist() == [255] * 3
    assert draw(np.zeros((20, 30, 3), np.uint8), []).size == (30, 20)
    with pytest.raises(OSError, match="cannot identify"):
        draw(b"no image", [])
    with pytest.raises(ValueError, match="is no image"):
        draw(object(), [])
