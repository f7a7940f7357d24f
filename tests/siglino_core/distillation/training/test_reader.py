"""Batches by the plan: in its order whoever reads them, errors with their types, and keyed flips."""

import multiprocessing
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from siglino_core.config import Config, PackConfig, TargetsConfig, TrainConfig
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Cost, Plan
from siglino_core.distillation.training.dropping import draws
from siglino_core.distillation.training.mixture import mixture_of, plan_of
from siglino_core.distillation.training.reader import Batch, Images, batches, dead_loaders
from siglino_core.errors import DataError, StoreError, WorkerError
from siglino_core.images.patches import to_patches
from siglino_core.store import Run
from siglino_core.store.patience import Patience, be_patient, patience
from tests.siglino_core.distillation.training.samples import pictures, sample

PICTURES = pictures(17)
STEPS, PACKS = 4, 6


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def sets(tmp_path: Path) -> CuratedSets:
    sample(Run(str(tmp_path / "run")), [PICTURES[:6], PICTURES[6:]])
    return CuratedSets.load([str(tmp_path / "run")])


def plan(sets: CuratedSets) -> Plan:
    pack = PackConfig(packs_per_step=PACKS, capacity=64)
    cfg = Config(targets=TargetsConfig(min_pixels=32**2, max_pixels=64**2), train=TrainConfig(pack=pack))
    cfg = replace(cfg, run=sets.runs[0])
    return plan_of(cfg, mixture_of(cfg, sets, 16), prefix=5, cost=Cost(linear=1000.0, quadratic=1.0))


def read(sets: CuratedSets, **options: Any) -> list[Batch]:
    chosen = {"start": 0, "stop": STEPS, "workers": 0, **options}
    flip = chosen.pop("flip_seed", None)
    return list(batches(Images(sets=sets, patch_size=16, flip_seed=flip), plan(sets), **chosen))


def same(ours: list[Batch], theirs: list[Batch]) -> bool:
    return len(ours) == len(theirs) and all(
        torch.equal(a.patches_NV, b.patches_NV)
        and np.array_equal(a.rows_B, b.rows_B)
        and np.array_equal(a.epochs_B, b.epochs_B)
        and (a.shapes, a.tokens) == (b.shapes, b.tokens)
        for a, b in zip(ours, theirs, strict=True)
    )


def test_a_batch_is_a_pack_of_the_plan(sets: CuratedSets) -> None:
    found = read(sets)
    packs = [p for step in range(STEPS) for p in plan(sets).packs_for(step)]
    assert len(found) == len(packs) == STEPS * PACKS
    for batch, pack in zip(found, packs, strict=True):
        assert batch.rows_B.tolist() == pack.rows_N.tolist()
        assert (batch.tokens, set(batch.epochs_B.tolist())) == (pack.tokens, {pack.epoch})
        wanted = [to_patches(PICTURES[r]["bytes"], s) for r, s in zip(batch.rows_B, batch.shapes, strict=True)]
        assert torch.equal(batch.patches_NV, torch.cat(wanted))
        assert batch.targets == {}


def test_it_goes_on_from_any_step(sets: CuratedSets) -> None:
    assert same(read(sets, start=2), read(sets)[2 * PACKS :])


def test_several_packs_at_once_are_one_batch(sets: CuratedSets) -> None:
    found, single = read(sets, at_once=4), read(sets)
    assert [len(b.rows_B) for b in found[:2]] == [
        sum(len(b.rows_B) for b in single[:4]), sum(len(b.rows_B) for b in single[4:PACKS]),
    ]  # fmt: skip
    assert found[0].rows_B.tolist() == [r for b in single[:4] for r in b.rows_B]


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_a_step(sets: CuratedSets, world: int) -> None:
    ranks = [read(sets, rank=rank, world=world) for rank in range(world)]
    dealt = [ranks[i % world][i // world] for i in range(STEPS * PACKS)]
    assert same(dealt, read(sets))


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_keep_the_order(sets: CuratedSets, workers: int) -> None:
    assert same(read(sets, workers=workers, flip_seed=1), read(sets, flip_seed=1))


@pytest.mark.slow
def test_a_workers_error_arrives_with_its_type(sets: CuratedSets) -> None:
    where = sets.indexes[0]
    path = Path(sets.runs[0], "sample", where.shards[0])
    data = bytearray(path.read_bytes())
    data[where.offset_N[3] : where.offset_N[3] + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"^image {where.image_id(3)} of the sample cannot be decoded") as caught:
        read(sets, workers=1)
    assert "Traceback" not in str(caught.value)


class Nosy(Images):
    """Instead of a batch, how long its process waits for a store."""

    def __getitem__(self, packs: Any) -> DataError:
        return DataError(f"{patience().known:.0f} s")


@pytest.mark.slow
def test_a_worker_is_as_patient_as_who_started_it(sets: CuratedSets) -> None:
    before = be_patient(Patience(known=321, stranger=321))
    try:
        with pytest.raises(DataError, match=r"^321 s$"):
            next(batches(Nosy(sets=sets, patch_size=16), plan(sets), start=0, stop=1, workers=1))
    finally:
        be_patient(before)


def test_a_dead_worker_is_named_wherever_the_reader_stands(sets: CuratedSets) -> None:
    others = set(multiprocessing.active_children())
    reading = batches(Images(sets=sets, patch_size=16), plan(sets), start=0, stop=1000, workers=1)
    next(reading)
    (child,) = set(multiprocessing.active_children()) - others

    def go_on() -> None:
        with dead_loaders():
            child.kill()
            for _ in reading:
                time.sleep(0.05)

    with pytest.raises(WorkerError, match="a process that reads images died"):
        go_on()


def test_an_image_that_cannot_be_decoded_and_a_shard_that_is_gone(sets: CuratedSets) -> None:
    where = sets.indexes[0]
    path = Path(sets.runs[0], "sample", where.shards[1])
    data = bytearray(path.read_bytes())
    data[where.offset_N[9] : where.offset_N[9] + 8] = bytes(8)
    path.write_bytes(data)
    with pytest.raises(DataError, match=where.image_id(9)):
        read(sets)
    path.unlink()
    with pytest.raises(StoreError, match="part-00001"):
        read(CuratedSets.load(sets.runs))


def test_flips_are_keyed(sets: CuratedSets) -> None:
    plain, one, again, two = (read(sets, flip_seed=seed) for seed in (None, 1, 1, 2))
    assert same(one, again)
    assert not same(one, two)
    assert [b.rows_B.tolist() for b in one] == [b.rows_B.tolist() for b in plain]
    flipped: dict[tuple[int, int], bool] = {}
    for a, b in zip(one, plain, strict=True):
        counts = [h * w for h, w in a.shapes]
        parts = zip(a.patches_NV.split(counts), b.patches_NV.split(counts), a.shapes, strict=True)
        for (mine, theirs, shape), row, epoch in zip(parts, a.rows_B, a.epochs_B, strict=True):
            key, mirrored = (int(epoch), int(row)), to_patches(PICTURES[row]["bytes"], shape, flip=True)
            flipped[key] = not torch.equal(mine, theirs)
            assert torch.equal(mine, mirrored if flipped[key] else theirs)
    assert 0.25 < np.mean(list(flipped.values())) < 0.75
    epochs = [{row for (e, row), yes in flipped.items() if e == epoch and yes} for epoch in (0, 1)]
    assert epochs[0] != epochs[1]


def test_parts_and_draws_come_with_the_images(sets: CuratedSets) -> None:
    teachers = ("one", "two")
    images = Images(sets=sets, patch_size=16, drop_seed=3, teachers=teachers)
    packs = [pack for step in range(STEPS) for pack in plan(sets).packs_for(step)]
    for batch, pack in zip(batches(images, plan(sets), start=0, stop=STEPS, workers=0), packs, strict=True):
        assert batch.parts_B.tolist() == pack.parts_N.tolist()
        ids = [PICTURES[row]["image_id"] for row in batch.rows_B]
        assert batch.draws_MB is not None
        assert torch.equal(batch.draws_MB, draws(3, teachers, np.full(len(ids), pack.epoch), ids))
    assert all(batch.draws_MB is None for batch in read(sets))
