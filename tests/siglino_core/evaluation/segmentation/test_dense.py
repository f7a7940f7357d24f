"""Images in a seeded order within a bound, and an upsampling that is torch's."""

from itertools import islice

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from siglino_core.errors import DataError
from siglino_core.evaluation.segmentation.dense import bilinear, row_parts, samples, shuffled, upsample
from tests.siglino_core.evaluation.segmentation.splits import Listed, blocks


def every(_: str) -> bool:
    return True


@pytest.mark.parametrize("size", [(24, 40), (17, 5), (3, 2), (1, 1)])
def test_upsampling_is_torchs(size: tuple[int, int]) -> None:
    map_hwK = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    ours = upsample(map_hwK, bilinear(4, size[0]), bilinear(7, size[1]))
    theirs = F.interpolate(map_hwK.permute(2, 0, 1)[None], size=size, mode="bilinear", align_corners=False)
    assert torch.allclose(ours, theirs[0].permute(1, 2, 0), atol=1e-6)


def test_some_rows_and_columns_are_those_of_the_whole() -> None:
    map_hwK = torch.randn(4, 7, 3, generator=torch.Generator().manual_seed(0))
    down, across, rows, columns = bilinear(4, 32), bilinear(7, 56), [3, 20], [0, 11, 55]
    whole = upsample(map_hwK, down, across)
    assert torch.allclose(upsample(map_hwK, down[rows], across[columns]), whole[rows][:, columns], atol=1e-6)


def test_parts_of_rows_cover_all_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siglino_core.evaluation.segmentation.dense.PART", 100)
    parts = row_parts(11, 10, 5)
    assert [i for part in parts for i in range(11)[part]] == list(range(11))
    assert len(parts) == 6
    assert len(row_parts(3, 1000, 5)) == 3


def test_a_round_has_each_wanted_image_once_and_seeds_differ() -> None:
    split = blocks(0, 9)
    wanted = {f"{i:03}" for i in range(1, 9)}
    first = [s.sample_id for s in islice(shuffled(split, wanted.__contains__, 0), 16)]
    assert set(first[:8]) == set(first[8:]) == wanted
    assert first[:8] != first[8:]
    assert first == [s.sample_id for s in islice(shuffled(split, wanted.__contains__, 0), 16)]
    assert first != [s.sample_id for s in islice(shuffled(split, wanted.__contains__, 1), 16)]


def test_few_images_wait() -> None:
    taken = 0

    class Slow:
        def __iter__(self):  # type: ignore[no-untyped-def]
            nonlocal taken
            for image in blocks(0, 50).images:
                taken += 1
                yield image

    size = sum(x.nbytes for x in blocks(0, 1).images[0][1:])
    stream = shuffled(Slow(), every, 0, held_bytes=5 * size)
    ids = []
    for n in range(1, 51):
        ids.append(next(stream).sample_id)
        assert taken <= n + 5
    assert sorted(ids) == [f"{i:03}" for i in range(50)]


def test_what_can_be_read_once_is_refused() -> None:
    stream = shuffled(iter(blocks(0, 3).images), every, 0)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="second round"):
        list(islice(stream, 4))


@pytest.mark.parametrize(
    ("patches", "mask", "says"),
    [
        (np.full((2, 2, 3), np.nan, np.float16), np.zeros((4, 4), np.uint8), "NaN"),
        (np.full((2, 2, 3), np.inf, np.float16), np.zeros((4, 4), np.uint8), "infinity"),
        (np.zeros((2, 2, 4), np.float16), np.zeros((4, 4), np.uint8), "features of 4 numbers, others of 3"),
        (np.zeros((4, 3), np.float16), np.zeros((4, 4), np.uint8), r"not \[h, w, D\]"),
        (np.zeros((2, 2, 3), np.float16), np.zeros((4, 4, 3), np.uint8), r"not \[h, w, D\]"),
        (np.zeros((2, 0, 3), np.float16), np.zeros((4, 4), np.uint8), r"not \[h, w, D\]"),
    ],
)
def test_what_cannot_be_used_is_named(patches: np.ndarray, mask: np.ndarray, says: str) -> None:
    good = ("good", np.zeros((2, 2, 3), np.float16), np.zeros((4, 4), np.uint8))
    with pytest.raises(DataError, match=f"bad: .*{says}"):
        list(samples(Listed([good, ("bad", patches, mask)])))
