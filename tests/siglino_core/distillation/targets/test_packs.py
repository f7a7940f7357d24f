"""A shard's images in packs: the order of its rows, the capacity, and the images that have no grid."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siglino_core.distillation.curated.index import training_shards
from siglino_core.distillation.targets.packs import Pack, images_in, packs
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.images.patches import to_patches
from siglino_core.models.resolution import Resolution
from siglino_core.store import Run, Stage
from tests.pictures import picture
from tests.siglino_core.distillation.training.samples import rows, sample

RULE = Resolution(min_pixels=32**2, max_pixels=64**2)
SIZES = [(64, 64), (48, 32), (32, 32), (96, 32), (40, 40), (33, 70), (64, 64), (200, 200)]


def images(sizes: list[tuple[int, int]]) -> list[dict[str, Any]]:
    made = rows(len(sizes))
    for i, (row, (width, height)) in enumerate(zip(made, sizes, strict=True)):
        row["bytes"] = picture(i, size=(width, height))
        row |= {"width": width, "height": height, "image_id": hashlib.sha256(row["bytes"]).hexdigest()[:32]}
    return made


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return sample(Run(str(tmp_path / "run")), [images(SIZES), []])


def read(stage: Stage, shard: int = 0, **settings: Any) -> list[Pack]:
    name = f"part-{shard:05d}"
    return list(packs(stage, name, f"images/{name}.parquet", **{"resolution": RULE, "capacity": 32, **settings}))


def test_every_image_once_in_the_order_of_rows(stage: Stage) -> None:
    found, wanted = read(stage), images(SIZES)
    assert [i for p in found for i in p.ids] == [r["image_id"] for r in wanted]
    shapes = [s for p in found for s in p.shapes]
    assert shapes[:4] == [(4, 4), (2, 3), (2, 2), (2, 6)]
    pixels = torch.cat([p.patches_NV for p in found])
    assert torch.equal(pixels, torch.cat([to_patches(r["bytes"], s) for r, s in zip(wanted, shapes, strict=True)]))


@pytest.mark.parametrize("capacity", [1, 16, 20, 32, 1000])
def test_packs_are_filled_and_no_further(stage: Stage, capacity: int) -> None:
    sizes = [[h * w for h, w in p.shapes] for p in read(stage, capacity=capacity)]
    assert all(sum(s) <= capacity or len(s) == 1 for s in sizes)
    assert all(sum(a) + b[0] > capacity for a, b in itertools.pairwise(sizes))
    assert sum(map(len, sizes)) == len(SIZES)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(stage: Stage, threads: int) -> None:
    for a, b in zip(read(stage), read(stage, threads=threads), strict=True):
        assert (a.ids, a.shapes) == (b.ids, b.shapes)
        assert torch.equal(a.patches_NV, b.patches_NV)


def test_some_rows(stage: Stage) -> None:
    [found] = read(stage, rows=np.array([1, 4]))
    assert found.ids == [images(SIZES)[i]["image_id"] for i in (1, 4)]
    assert read(stage, rows=np.array([], np.int64)) == []


def test_an_empty_shard(stage: Stage) -> None:
    assert read(stage, 1) == []
    assert (images_in(stage, "part-00000"), images_in(stage, "part-00001")) == (len(SIZES), 0)


@pytest.mark.parametrize(("size", "says"), [((10, 64), "at least 16"), ((4000, 16), "aspect of at most 200")])
@pytest.mark.parametrize("threads", [0, 2])
def test_an_image_without_a_grid_is_named(tmp_path: Path, size: tuple[int, int], says: str, threads: int) -> None:
    made = images([*SIZES[:3], size])
    stage = sample(Run(str(tmp_path / "run")), [made])
    with pytest.raises(DataError, match=rf"^image {made[3]['image_id']} of images/part-00000.parquet: .*{says}"):
        read(stage, threads=threads)


@pytest.mark.parametrize("threads", [0, 2])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path: Path, threads: int) -> None:
    made = images(SIZES)
    made[5]["bytes"] = made[5]["bytes"][:200]
    stage = sample(Run(str(tmp_path / "run")), [made])
    with pytest.raises(DataError, match=rf"^image {made[5]['image_id']} of .*part-00000.parquet cannot be decoded"):
        read(stage, threads=threads)


def test_a_shard_that_is_gone(stage: Stage) -> None:
    stage.files.delete(["images/part-00000.parquet"])
    with pytest.raises(StoreError, match=r"images/part-00000\.parquet: no such file"):
        read(stage)


def test_training_shards_by_number(stage: Stage) -> None:
    names = [f"part-{i:05d}" for i in (0, 1)]
    assert training_shards(stage, stage.require()) == [f"images/{n}.parquet" for n in names]


def test_a_sample_without_an_index(tmp_path: Path) -> None:
    stage = sample(Run(str(tmp_path / "run")), [images(SIZES)], indexed=False)
    with pytest.raises(ConfigError, match=r"has no index of images/part-00000\.parquet.*--redo sample"):
        training_shards(stage, stage.require())
