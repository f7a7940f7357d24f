"""Pictures of scenes: masks and boxes are what can be seen, as hidden as a level allows, in their colours."""

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from siglino_core.evaluation.data.scenes import bounds
from siglino_core.grounding.data.synthetic.composite import Composite, composite
from siglino_core.grounding.data.synthetic.level import EASY, HARD, LEVELS, MEDIUM, Level
from siglino_core.grounding.data.synthetic.things import COLOURS, SIZES
from tests.cutouts import LABELS, cutouts
from tests.pictures import encode

CUTOUTS = cutouts(9)


def made(level: Level, seed: int, size: tuple[int, int] = (120, 150), **more: list) -> Composite:
    for attempt in range(20):
        found = composite(np.random.default_rng([seed, attempt]), level, size, **more)
        if found is not None:
            return found
    raise AssertionError


def pixels(of: Composite) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(of.image)))


@settings(max_examples=40)
@given(st.integers(0, 2**31), st.sampled_from(list(LEVELS)), st.booleans())
def test_what_always_holds(seed: int, name: str, with_cutouts: bool) -> None:
    level = LEVELS[name]
    scene = made(level, seed, cutouts=CUTOUTS if with_cutouts else [])
    seen = pixels(scene)
    assert level.objects[0] <= len(scene.objects) <= level.objects[1]
    total = np.zeros(seen.shape[:2], int)
    for i, placed in enumerate(scene.objects):
        assert placed.box == bounds(placed.visible_HW)
        assert not (placed.visible_HW & ~placed.whole_HW).any()
        assert placed.visible_HW.sum() >= (1 - level.hidden) * placed.whole_HW.sum()
        for later in scene.objects[i + 1 :]:
            assert not (placed.visible_HW & later.whole_HW).any()
        if placed.thing.colour is not None:
            assert (seen[placed.visible_HW] == COLOURS[placed.thing.colour]).all()
        else:
            assert placed.thing.noun in LABELS
        total += placed.visible_HW
    assert total.max() == 1


@pytest.mark.parametrize("level", [EASY, MEDIUM])
def test_masks_are_all_there_is_of_a_colour(level: Level) -> None:
    plain = replace(level, background=EASY.background)
    for seed in range(15):
        scene = made(plain, seed)
        seen = pixels(scene)
        for name, colour in COLOURS.items():
            masks = [p.visible_HW for p in scene.objects if p.thing.colour == name]
            expected = np.logical_or.reduce(masks) if masks else np.zeros(seen.shape[:2], bool)
            assert np.array_equal((seen == colour).all(2), expected)


def test_sizes_are_those_of_their_words() -> None:
    for seed in range(30):
        for placed in made(HARD, seed).objects:
            left, top, right, bottom = bounds(placed.whole_HW)
            low, high = SIZES[placed.thing.size]
            assert 0.85 * low * 120 - 1.5 <= max(right - left, bottom - top) <= high * 120 + 1


def test_nothing_overlaps_unless_the_level_says_so() -> None:
    def hidden(level: Level) -> int:
        scenes = [made(level, seed) for seed in range(25)]
        return sum(bool((p.whole_HW & ~p.visible_HW).any()) for scene in scenes for p in scene.objects)

    assert hidden(replace(HARD, hidden=0, objects=(2, 4))) == 0
    assert hidden(HARD) > 10


def test_without_repeats_no_two_are_alike() -> None:
    few = replace(EASY, colours=("red", "blue"), shapes=("circle", "square"))
    for seed in range(40):
        looks = [(p.thing.noun, p.thing.colour) for p in made(few, seed).objects]
        assert len(set(looks)) == len(looks)
    same = [made(replace(few, repeats=True), seed).objects for seed in range(40)]
    assert any(a.thing == b.thing for a, b in same)


def test_backgrounds() -> None:
    for seed in range(10):
        scene = made(MEDIUM, seed)
        behind = ~np.logical_or.reduce([p.whole_HW for p in scene.objects])
        spread = np.ptp(pixels(scene)[behind].astype(int), axis=1)
        assert spread.max() <= 80  # pale, where the objects' colours have more than 90
    black = encode(Image.new("RGB", (300, 300)), "png")
    scene = made(MEDIUM, 0, photographs=[black])
    assert (pixels(scene)[~np.logical_or.reduce([p.whole_HW for p in scene.objects])] < 10).all()
    greys = {tuple(np.unique(pixels(made(EASY, seed))[[0, -1, 0, -1], [0, 0, -1, -1]])) for seed in range(12)}
    assert len(greys) > 4


def test_objects_without_a_place() -> None:
    crowded = replace(HARD, objects=(20, 20), sizes=("large",), hidden=0)
    assert composite(np.random.default_rng(0), crowded, (64, 64)) is None
