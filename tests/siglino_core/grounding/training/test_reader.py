"""Which of an image's expressions a pass asks."""

import numpy as np

from siglino_core.distillation.packing import Pack
from siglino_core.errors import DataError
from siglino_core.grounding.training.reader import Asked
from siglino_core.grounding.vocabulary import decode
from tests.siglino_core.grounding.training.taught import PATCH, pairs

IMAGES = pairs(2)


def pack(epoch: int, rows: list[int]) -> Pack:
    count = len(rows)
    grids = np.full((count, 2), 8, np.uint16)
    return Pack(
        epoch=epoch, parts_N=np.zeros(count, np.uint8), rows_N=np.array(rows), grids_N2=grids, tokens=count * 69
    )


def texts(asked: Asked, epoch: int) -> list[str]:
    return [decode(list(q.tokens)) for q in asked.batch([pack(epoch, [1, 0])]).questions]


def test_all_of_them_or_some_in_each_epoch() -> None:
    settings = {"images": IMAGES, "patch_size": PATCH, "mask_scale": 4, "seed": 0, "most": 4}
    every = Asked(**settings, expressions=2)  # type: ignore[arg-type]
    assert texts(every, 0) == [e.text for i in (IMAGES[1], IMAGES[0]) for e in i.expressions]
    one = Asked(**settings, expressions=1)  # type: ignore[arg-type]
    drawn = [texts(one, epoch) for epoch in range(8)]
    assert drawn == [texts(one, epoch) for epoch in range(8)]
    assert {d[0] for d in drawn} == {e.text for e in IMAGES[1].expressions}
    assert all(len(d) == 2 for d in drawn)


def test_an_error_is_returned_to_the_loader() -> None:
    from dataclasses import replace

    broken = [replace(IMAGES[0], data=b"")]
    asked = Asked(images=broken, patch_size=PATCH, mask_scale=4, seed=0, most=4, expressions=2)
    assert isinstance(asked[[pack(0, [0])]], DataError)
