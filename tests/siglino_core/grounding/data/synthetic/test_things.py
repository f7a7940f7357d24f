"""Drawn shapes: hard edges, the named colour, all of their square, and each unlike the others."""

import numpy as np
import pytest

from siglino_core.evaluation.data.cutouts import CLEAR
from siglino_core.grounding.data.synthetic.things import COLOURS, PLURALS, SIZES, cut, drawn
from tests.cutouts import cutouts


@pytest.mark.parametrize("noun", PLURALS)
@pytest.mark.parametrize("side", [7, 30, 61])
def test_a_shape_has_hard_edges_and_fills_its_square(noun: str, side: int) -> None:
    pixels = np.asarray(drawn(noun, "orange", side))
    assert pixels.shape == (side, side, 4)
    solid = pixels[..., 3] == 255
    assert (pixels[..., 3][~solid] == 0).all()
    assert (pixels[solid][:, :3] == COLOURS["orange"]).all()
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    assert min(rows[-1] - rows[0], columns[-1] - columns[0]) >= 0.85 * side - 2


def test_shapes_and_colours_are_unlike_each_other() -> None:
    masks = [np.asarray(drawn(noun, "red", 40))[..., 3] > 0 for noun in PLURALS]
    for i, one in enumerate(masks):
        for other in masks[i + 1 :]:
            assert (one & other).sum() / (one | other).sum() < 0.8
    levels = np.array(list(COLOURS.values()), float)
    apart = np.linalg.norm(levels[:, None] - levels[None], axis=2)
    assert apart[~np.eye(len(levels), dtype=bool)].min() > 60
    assert (levels.max(1) - levels.min(1)).min() > 90  # none is a grey


def test_sizes_have_gaps_between_them() -> None:
    ends = [end for size in SIZES.values() for end in size]
    assert ends == sorted(ends)
    assert all(SIZES[b][0] - SIZES[a][1] >= 0.04 for a, b in (("small", "medium"), ("medium", "large")))


def test_a_cut_out_has_the_side_that_is_asked_for() -> None:
    seen: set[int] = set()
    for one in cutouts(3):
        assert max(cut(one, 25).size) == 25
        assert cut(one, 25).mode == "RGBA"
        seen |= set(np.asarray(cut(one, 25))[..., 3].ravel().tolist())
    assert {0, 255} < seen
    assert not seen & set(range(1, CLEAR + 1))
