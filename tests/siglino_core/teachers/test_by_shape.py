"""Packs of patches become batches of pixels again, each image at its place."""

import pytest
import torch

from siglino_core.models.patches import patchify
from siglino_core.teachers.by_shape import batches

SHAPES = [(2, 3), (3, 2), (2, 3), (1, 1)]


def test_images_of_one_shape_go_together_and_keep_their_places() -> None:
    generator = torch.Generator().manual_seed(0)
    images = [torch.rand(3, 4 * h, 4 * w, generator=generator) for h, w in SHAPES]
    pack = torch.cat([patchify(image[None], 4)[0] for image in images])
    found = list(batches(pack, SHAPES, 4))
    assert [places for places, _ in found] == [[0, 2], [1], [3]]
    for places, pixels in found:
        assert pixels.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(pixels, torch.stack([images[i] for i in places]))


@pytest.mark.parametrize("patches", [torch.zeros(20, 48), torch.zeros(18, 48), torch.zeros(19, 64)])
def test_patches_that_do_not_fit_the_shapes(patches: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"patches of .*: \[19, 48\] by the shapes"):
        next(batches(patches, SHAPES, 4))
