"""Backgrounds of every kind, of their size and from their seed alone."""

from collections.abc import Callable

import numpy as np
import pytest

from siglino_core.evaluation.data import backgrounds
from siglino_core.evaluation.data.backgrounds import background
from siglino_core.images.decode import BadImage
from tests.pictures import picture

KINDS = (backgrounds._plain, backgrounds._gradient, backgrounds._noise, backgrounds._stripes)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_size_and_its_seed(kind: Callable[..., np.ndarray]) -> None:
    once = kind(rng(), (40, 70))
    assert once.shape == (40, 70, 3)
    assert np.array_equal(once, kind(rng(), (40, 70)))
    assert not np.array_equal(once, kind(rng(1), (40, 70)))


def test_kinds_are_what_their_names_say() -> None:
    colours = {kind: len(np.unique(kind(rng(), (64, 64)).reshape(-1, 3), axis=0)) for kind in KINDS}
    assert colours[backgrounds._plain] == 1
    assert colours[backgrounds._stripes] == 2
    assert min(colours[backgrounds._gradient], colours[backgrounds._noise]) > 50


def test_seeds_reach_every_kind() -> None:
    made = [np.asarray(background(rng(seed), (32, 32))) for seed in range(40)]
    counts = {min(3, len(np.unique(m.reshape(-1, 3), axis=0))) for m in made}
    assert counts == {1, 2, 3}


@pytest.mark.parametrize("size", [(64, 64), (30, 90), (90, 30)])
def test_a_part_of_a_photograph(size: tuple[int, int]) -> None:
    im = background(rng(), size, [picture(3, size=(120, 80))])
    assert (im.mode, im.size) == ("RGB", (size[1], size[0]))
    assert np.asarray(im).std() > 5
    with pytest.raises(BadImage):
        background(rng(), size, [b"no image"])
