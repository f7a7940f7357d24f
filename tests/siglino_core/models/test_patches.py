"""Patches are pixels in another order: there and back."""

import pytest
import torch

from siglino_core.models.patches import patchify, unpatchify


def test_unpatchify_is_the_inverse_of_patchify() -> None:
    images = torch.rand(2, 3, 12, 20, generator=torch.Generator().manual_seed(0))
    patches = patchify(images, 4)
    assert torch.equal(unpatchify(patches, (3, 5), 4), images)


@pytest.mark.parametrize("shape", [(2, 14, 48), (2, 15, 47), (15, 48)])
def test_what_cannot_be_an_image(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\[B, 3 \* 5, 4\^2 \* C\]"):
        unpatchify(torch.zeros(shape), (3, 5), 4)
