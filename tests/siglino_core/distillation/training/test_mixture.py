"""The sets: several runs' images as one row of rows, and parts of it by native size and ratio."""

import dataclasses
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from siglino_core.config import Config, PackConfig, PartConfig, TargetsConfig, TrainConfig
from siglino_core.distillation.curated.sets import CuratedSets
from siglino_core.distillation.packing import Cost
from siglino_core.distillation.training.mixture import mixture_of, parts_of, plan_of, runs_of
from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import Run
from tests.siglino_core.distillation.training.samples import pictures, sample

FIRST, SECOND = pictures(11, seed=1), pictures(7, seed=2)
ALL = [*FIRST, *SECOND]
COST = Cost(linear=1000.0, quadratic=1.0)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    sample(Run(str(tmp_path / "one")), [FIRST[:4], FIRST[4:]])
    sample(Run(str(tmp_path / "two")), [SECOND])
    return [str(tmp_path / "one"), str(tmp_path / "two")]


def config(runs: list[str], *parts: PartConfig, **pack: Any) -> Config:
    return Config(
        run=runs[0],
        targets=TargetsConfig(min_pixels=32**2, max_pixels=64**2),
        train=TrainConfig(parts=list(parts), pack=PackConfig(**{"packs_per_step": 2, "capacity": 64, **pack})),
    )


def rows_of(cfg: Config, sets: CuratedSets) -> dict[str, list[int]]:
    mixture = mixture_of(cfg, sets, 16)
    return {p.name: sorted(p.rows(np.arange(len(p))).tolist()) for p in mixture.parts}


def test_rows_of_both_runs(runs: list[str]) -> None:
    sets = CuratedSets.load(runs)
    assert sets.starts.tolist() == [0, 11, 18]
    rows = np.array([17, 0, 11, 10, 3, 12])
    assert sets.read(rows) == [ALL[r]["bytes"] for r in rows]
    assert sets.image_ids(rows) == [ALL[r]["image_id"] for r in rows]
    assert pickle.loads(pickle.dumps(sets)).read(rows[:2]) == [ALL[r]["bytes"] for r in rows[:2]]


def test_clusters_are_the_first_runs(runs: list[str]) -> None:
    sets, rows = CuratedSets.load(runs), np.array([17, 0, 11, 10])
    assert sets.clusters(1, rows).tolist() == [-1, FIRST[0]["level_1"], -1, FIRST[10]["level_1"]]
    assert sets.clusters(2, rows)[1] == FIRST[0]["level_2"]


def test_without_parts_it_is_the_runs_own_sample(runs: list[str]) -> None:
    cfg = config(runs)
    assert runs_of(cfg) == runs[:1]
    assert [(p.name, p.min_pixels, p.max_pixels) for p in parts_of(cfg)] == [("sample", 32**2, 64**2)]
    sets = CuratedSets.load(runs_of(cfg))
    assert rows_of(cfg, sets) == {"sample": list(range(11))}
    grids = mixture_of(cfg, sets, 16).parts[0].grids_N2
    assert {tuple(g) for g in grids[:4].tolist()} == {(2, 2), (2, 3), (4, 2), (4, 4)}


def test_parts_by_native_size(runs: list[str]) -> None:
    small = PartConfig(name="small", native_to=40, min_pixels=256, max_pixels=64**2)
    large = PartConfig(name="large", run=runs[1], native_from=41, min_pixels=256, max_pixels=128**2)
    cfg = config(runs, small, large)
    assert runs_of(cfg) == runs
    found = rows_of(cfg, CuratedSets.load(runs_of(cfg)))
    area = [row["width"] * row["height"] for row in ALL]
    assert found["small"] == [r for r in range(11) if area[r] <= 40**2]
    assert found["large"] == [r for r in range(11, 18) if area[r] >= 41**2]
    assert min(len(rows) for rows in found.values()) > 0


def test_both_bounds(runs: list[str]) -> None:
    cfg = config(runs, PartConfig(name="middle", native_from=33, native_to=46, min_pixels=256, max_pixels=64**2))
    found = rows_of(cfg, CuratedSets.load(runs[:1]))["middle"]
    assert found == [r for r in range(11) if 33**2 <= FIRST[r]["width"] * FIRST[r]["height"] <= 46**2] != []


def test_ratios_decide_an_epoch(runs: list[str]) -> None:
    parts = [PartConfig(name="own", ratio=1), PartConfig(name="more", run=runs[1], ratio=2)]
    parts = [dataclasses.replace(part, min_pixels=32**2, max_pixels=64**2) for part in parts]
    cfg = config(runs, *parts)
    mixture = mixture_of(cfg, CuratedSets.load(runs), 16)
    assert mixture.counts == [6, 12]
    plan, seen = plan_of(cfg, mixture, prefix=5, cost=COST), []
    for packs in (plan.packs_for(s) for s in range(20)):
        seen += [row for p in packs if p.epoch == 0 for row in p.rows_N]
    assert [sum(r < 11 for r in seen), sum(r >= 11 for r in seen)] == mixture.counts


def test_the_same_packs_whatever_the_ranks(runs: list[str]) -> None:
    cfg = config(runs, packs_per_step=6)
    plan = plan_of(cfg, mixture_of(cfg, CuratedSets.load(runs[:1]), 16), prefix=5, cost=COST)

    def ids(packs: Any) -> list[tuple[int, ...]]:
        return [(p.epoch, *p.rows_N.tolist()) for p in packs]

    for step in range(3, 9):
        whole = ids(plan.packs_for(step))
        for world in (1, 2, 3):
            split = [ids(plan.packs_for(step, rank, world)) for rank in range(world)]
            assert sorted(pack for packs in split for pack in packs) == sorted(whole)
            assert [len(s) for s in split] == [6 // world] * world


def test_a_part_without_images(runs: list[str]) -> None:
    sets = CuratedSets.load(runs[:1])
    with pytest.raises(ConfigError, match=r"^train.parts: part 'huge' has no images"):
        mixture_of(config(runs, PartConfig(name="huge", native_from=5000)), sets, 16)
    rare = [PartConfig(name="a", ratio=1e6), PartConfig(name="b", ratio=1e-6)]
    with pytest.raises(ConfigError, match=r"^train.parts: part 'b': ratio=1e-06 of 22 images is none"):
        mixture_of(config(runs, *rare), sets, 16)


def test_a_run_that_is_not_finished(runs: list[str], tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"none/sample is not finished"):
        CuratedSets.load([*runs, str(tmp_path / "none")])


def test_seeds_order_images(runs: list[str]) -> None:
    cfg, sets = config(runs), CuratedSets.load(runs[:1])
    plans = [plan_of(c, mixture_of(c, sets, 16), prefix=5, cost=COST) for c in (cfg, dataclasses.replace(cfg, seed=1))]
    one, two = ([p.rows_N.tolist() for step in range(4) for p in found.packs_for(step)] for found in plans)
    assert one != two
