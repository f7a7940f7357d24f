"""Scenes: masks and boxes are exactly what can be seen, and a scene is its arguments' alone."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siglino_core.errors import DataError
from siglino_core.evaluation.data import scenes
from siglino_core.evaluation.data.cutouts import Cutout
from siglino_core.evaluation.data.scenes import Scene, bounds, scene
from siglino_core.images.decode import decode_numbers
from tests.cutouts import LABELS, cutouts
from tests.pictures import encode, picture

CUTOUTS = cutouts(12)
SEEDS = st.integers(0, 2**31)


def mask(of: Scene) -> np.ndarray:
    return decode_numbers(of.mask, max_pixels=1 << 20, max_bytes=1 << 24)


def image(of: Scene) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(of.image)))


@settings(max_examples=40)
@given(SEEDS, st.integers(0, 1000), st.sampled_from([(96, 96), (80, 130), (160, 100)]))
def test_what_always_holds(seed: int, index: int, size: tuple[int, int]) -> None:
    made = scene(CUTOUTS, seed, index, size)
    numbers = {label: i for i, label in enumerate(sorted(LABELS), 1)}
    drawn, union = mask(made), np.zeros(size, int)
    assert drawn.shape == size
    assert image(made).shape == (*size, 3)
    assert 1 <= len(made.objects) <= 3
    for one in made.objects:
        assert one.number == numbers[one.label]
        assert one.cutout_id.startswith(one.label)
        assert one.box == bounds(one.visible_HW)
        assert (drawn[one.visible_HW] == one.number).all()
        assert not (one.visible_HW & ~one.whole_HW).any()
        assert one.visible_HW.sum() >= 0.5 * one.whole_HW.sum()
        union += one.visible_HW
    assert union.max() == 1  # disjoint
    assert np.array_equal(union == 1, (drawn != 0) & (drawn != 255))


def test_later_objects_hide_earlier_ones() -> None:
    hidden = 0
    for index in range(30):
        objects = scene(CUTOUTS, 0, index, (96, 96)).objects
        for i, one in enumerate(objects):
            for later in objects[i + 1 :]:
                assert not (one.visible_HW & later.whole_HW).any()
                hidden += int((one.whole_HW & later.whole_HW).any())
    assert hidden > 5


def test_pixels_are_the_objects_and_edges_are_ignored() -> None:
    red = Image.new("RGBA", (40, 40))
    red.paste((255, 0, 0, 255), (0, 0, 40, 40))
    red.paste((0, 0, 0, 0), (0, 0, 40, 20))
    made = scene([Cutout(cutout_id="r", data=encode(red, "png"), label="red")], 3, 0, (96, 96))
    drawn, seen = mask(made), image(made)
    assert (seen[drawn == 1] == (255, 0, 0)).all()
    soft = scene(CUTOUTS, 0, 0, (96, 96))
    edges = mask(soft) == 255
    inside = np.logical_or.reduce([o.whole_HW for o in soft.objects])
    assert edges.any()
    near = np.zeros_like(inside)
    for down in range(-4, 5):
        for across in range(-4, 5):
            near |= np.roll(inside, (down, across), (0, 1))
    assert not (edges & ~near).any()


def test_a_box_is_half_open() -> None:
    mask_HW = np.zeros((5, 6), bool)
    mask_HW[1:3, 2:5] = True
    assert bounds(mask_HW) == (2, 1, 5, 3)
    one = np.zeros((5, 6), bool)
    one[4, 5] = True
    assert bounds(one) == (5, 4, 6, 5)


def test_the_same_arguments_give_the_same_bytes_and_others_give_others() -> None:
    once = scene(CUTOUTS, 1, 2, (96, 96))
    again = scene(CUTOUTS[::-1], 1, 2, (96, 96))
    assert (once.image, once.mask) == (again.image, again.mask)
    rest = [c for c in CUTOUTS if c.cutout_id not in {o.cutout_id for o in once.objects}]
    others = [scene(CUTOUTS, 2, 2, (96, 96)), scene(CUTOUTS, 1, 3, (96, 96)), scene(rest, 1, 2, (96, 96))]
    assert all(o.image != once.image for o in others)


def test_numbers_of_objects_and_classes_are_drawn_evenly() -> None:
    rare = [c for c in CUTOUTS if c.label != "bar"] + [next(c for c in CUTOUTS if c.label == "bar")]
    made = [scene(rare, 0, index, (96, 96)) for index in range(120)]
    labels = [o.label for m in made for o in m.objects]
    assert all(labels.count(label) > 0.25 * len(labels) for label in LABELS)
    assert {len(m.objects) for m in made} == {1, 2, 3}


def test_numbers_may_be_given_and_may_need_16_bits() -> None:
    made = scene(CUTOUTS, 0, 0, (96, 96), numbers=dict.fromkeys(LABELS, 300))
    assert made.objects[0].number == 300
    assert set(np.unique(mask(made)).tolist()) == {0, 255, 300}


def test_photographs_may_lie_behind() -> None:
    black = encode(Image.new("RGB", (200, 200)), "png")
    made = scene(CUTOUTS, 0, 0, (96, 96), photographs=[black])
    assert (image(made)[mask(made) == 0] < 10).all()
    assert scene(CUTOUTS, 0, 0, (96, 96), photographs=[picture(1)]).image != made.image


def test_what_cannot_be_seen_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no cut-out"):
        scene([], 0, 0)
    monkeypatch.setattr(scenes, "LEAST_PIXELS", 10**6)
    with pytest.raises(DataError, match="none of 12 cut-outs can be seen on 96 x 96"):
        scene(CUTOUTS, 0, 0, (96, 96))


def test_overlaps_are_those_of_the_coco_tools() -> None:
    tools = pytest.importorskip("faster_coco_eval.core.mask")
    masks = [
        m for index in range(6) for o in scene(CUTOUTS, 0, index, (96, 96)).objects for m in (o.whole_HW, o.visible_HW)
    ]
    rles = [tools.encode(np.asfortranarray(m.astype(np.uint8))) for m in masks]
    theirs = tools.iou(rles, rles, [0] * len(rles))
    ours = [[(a & b).sum() / (a | b).sum() for b in masks] for a in masks]
    assert np.allclose(ours, theirs)
    assert 0 < (np.array(ours) > 0).mean() < 1
    boxes = np.array([bounds(m) for m in masks])
    assert np.array_equal(tools.toBbox(rles), np.c_[boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])
