"""A block for images and texts: time turns the one half of a head's channels, places the other."""

import torch

from siglino_core.grounding.block import PLACES, places, rotate_time, time_rotation
from siglino_core.models.rope import rotate
from tests.siglino_core.grounding.models import grounding
from tests.siglino_core.models.tiny import TINY


def test_products_depend_on_differences_of_time_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    q, k = torch.randn(2, 1, 1, 16, generator=generator)

    def product(a: int, b: int) -> float:
        turns = [time_rotation(torch.tensor([t]), 16, 10_000.0) for t in (a, b)]
        return float((rotate_time(q, turns[0]) * rotate_time(k, turns[1])).sum())

    assert abs(product(3, 1) - product(12, 10)) < 1e-5
    assert abs(product(3, 1) - product(3, 2)) > 1e-3
    assert torch.equal(rotate_time(q, time_rotation(torch.tensor([0]), 16, 10_000.0)), q)


def test_time_and_place_turn_different_channels() -> None:
    x = torch.ones(1, 1, 16)
    by_time = rotate_time(x, time_rotation(torch.tensor([5]), 16, 10_000.0))
    by_place = rotate(x, (torch.zeros(1, 1, 4), torch.ones(1, 1, 4)))
    assert ((by_time != x) & (by_place != x)).sum() == 0
    assert (by_time != x)[0, 0, :8].all()
    assert (by_place != x)[0, 0, 8:].any()


def test_a_place_is_told_of_patches_alone_in_shares_of_their_image() -> None:
    model, _ = grounding(TINY)
    layout = model.layout([(2, 3), (1, 1), (4, 4)], total=40)
    place_TF = places(layout)
    assert place_TF.shape == (40, PLACES)
    _, wide_NF, _, square_NF = place_TF[layout.patch_N].split([0, 6, 1, 16])
    centres = [(-1 / 2, -2 / 3), (-1 / 2, 0), (-1 / 2, 2 / 3), (1 / 2, -2 / 3), (1 / 2, 0), (1 / 2, 2 / 3)]
    torch.testing.assert_close(wide_NF[:, :2], torch.tensor(centres), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        square_NF[:5:4, :2], torch.tensor([(-3 / 4, -3 / 4), (-1 / 4, -3 / 4)]), atol=1e-5, rtol=0
    )
    assert len({tuple(f) for f in square_NF.round(decimals=4).tolist()}) == 16
    others_T = torch.ones(40, dtype=torch.bool)
    others_T[layout.patch_N] = False
    assert place_TF[others_T].abs().sum() == 0


def test_without_places_values_are_the_students() -> None:
    for told in (True, False):
        model, _ = grounding(TINY, places=told)
        assert (model.student.layers[0].text_place is not None) == told
