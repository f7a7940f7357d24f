"""A block for images and texts: time turns the one half of a head's channels, places the other."""

import torch

from siglino_core.grounding.block import rotate_time, time_rotation
from siglino_core.models.rope import rotate


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
