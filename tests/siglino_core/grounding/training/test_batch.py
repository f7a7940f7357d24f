"""Images with questions as a pass: raster order, masks at the head's scale, numbers of instances."""

import numpy as np
import torch

from siglino_core.grounding.data.referring import Expression
from siglino_core.grounding.training.batch import batch_of, covered
from siglino_core.grounding.vocabulary import encode
from tests.siglino_core.grounding.training.taught import PATCH, SIDE, pairs

IMAGES = pairs(2)


def test_instances_stand_in_raster_order_with_their_masks() -> None:
    masks = tuple(np.zeros((SIDE, SIDE), bool) for _ in range(2))
    masks[0][40:60, 10:20] = True
    masks[1][0:8, 32:64] = True
    both = Expression(text="both", boxes_K4=np.array([[10, 40, 20, 60], [32, 0, 64, 8]], np.float32), masks=masks)
    none = Expression(text="none", boxes_K4=np.zeros((0, 4), np.float32), masks=())
    boxes = Expression(text="a box", boxes_K4=np.array([[0, 0, 32, 64]], np.float32))
    asked = [[none, both], [boxes]]
    made = batch_of(IMAGES, asked, [(8, 8), (8, 8)], patch_size=PATCH, mask_scale=4, most=4)
    assert made.image_Q == [0, 0, 1]
    assert [q.tokens for q in made.questions] == [encode(t) for t in ("none", "both", "a box")]
    assert made.image_K == [0, 0, 1]
    assert made.questions[1].centre_K2.tolist() == [[0.75, 0.0625], [15 / 64, 50 / 64]]  # the upper one first
    assert sorted(made.masks) == [0, 1]  # the third has none
    assert torch.equal(made.masks[0], covered(masks[1], (32, 32)))
    assert made.patches_NV.shape == (128, PATCH**2 * 3)
    bare = batch_of(IMAGES, asked, [(8, 8), (8, 8)], patch_size=PATCH, mask_scale=4, most=4, masked=False)
    assert (bare.masks, bare.image_K) == ({}, made.image_K)
    first = batch_of(IMAGES, asked, [(8, 8), (8, 8)], patch_size=PATCH, mask_scale=4, most=1)
    assert [len(q.centre_K2) for q in first.questions] == [0, 1, 1]
    assert first.questions[1].centre_K2.tolist() == [[0.75, 0.0625]]


def test_a_mask_becomes_shares_of_pixels() -> None:
    mask = np.zeros((4, 6), bool)
    mask[:2, :3] = True
    assert covered(mask, (2, 3)).tolist() == [[1, 0.5, 0], [0, 0, 0]]
    assert covered(mask, (1, 1)).tolist() == [[0.25]]
