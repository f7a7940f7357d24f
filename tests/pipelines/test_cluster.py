"""The cluster stage: the levels are what the maths says, and stopping it anywhere changes no byte."""

import dataclasses
import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import cluster
from pipelines.support.runtime import Estimate, Result
from siglino_core import schema
from siglino_core.config import Config, Seeding
from siglino_core.errors import ConfigError, DamagedError, DataError
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.store import Files, Run
from siglino_core.store.vectors import from_column
from tests.damage import flip
from tests.stages import Pool, config, pool, table, write

THOROUGH = {
    "num_clusters": [20, 6, 2],
    "seeding": Seeding.D2_ROUNDS,
    "iterations": 2,
    "resampling": 1,
    "resampling_iterations": 1,
}


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return write(Run(str(tmp_path / "run")), pool())


def clustered(run: Run, of: Pool, center: bool = True) -> np.ndarray:
    """The embedded vectors as the stage clusters them, in fp64."""
    x = of.vectors[of.embedded()].astype(np.float64)
    if center:
        x -= x.mean(0)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x


def check(run: Run, of: Pool, result: Result, levels: list[int], center: bool = True) -> None:
    """Every table against brute force."""
    places = table(run, "cluster", "assignments/")
    schema.check(places, schema.assignments(len(levels)), "assignments")
    assert places["image_id"].to_pylist() == [of.image_id(r) for r in of.embedded()]
    x = clustered(run, of, center)
    vectors = []
    for level, k in enumerate(levels, start=1):
        found = table(run, "cluster", f"centroids_{level}/")
        schema.check(found, schema.centroids(of.vectors.shape[1]), "centroids")
        assert found["centroid_id"].to_pylist() == list(range(k))
        ids = places[f"level_{level}"].to_numpy()
        assert np.array_equal(found["size"].to_numpy(), np.bincount(ids, minlength=k))
        vectors.append(from_column(found["centroid"]).astype(np.float64))
        if level == len(levels):
            assert found["parent_id"].null_count == k
        else:
            parent = found["parent_id"].to_numpy()
            assert np.array_equal(places[f"level_{level + 1}"].to_numpy(), parent[ids])
    d2 = ((x[:, None] - vectors[0][None]) ** 2).sum(2)
    mine = places["level_1"].to_numpy()
    assert d2[np.arange(len(x)), mine] == pytest.approx(d2.min(1), abs=2e-3)
    assert places["distance"].to_numpy() == pytest.approx(np.sqrt(d2.min(1)), abs=4e-2)
    for below, above, level in zip(vectors, vectors[1:], range(1, 9), strict=False):
        parent = table(run, "cluster", f"centroids_{level}/")["parent_id"].to_numpy()
        between = ((below[:, None] - above[None]) ** 2).sum(2)
        assert between[np.arange(len(below)), parent] == pytest.approx(between.min(1), abs=2e-3)
    facts = result.manifest.facts
    assert (facts["levels"], result.manifest.rows) == (levels, len(x))
    assert facts["inertia"] == pytest.approx(d2.min(1).mean(), abs=2e-3)
    assert [max(table(run, "cluster", f"centroids_{i}/")["size"].to_pylist()) for i in (1, 2)] == facts["largest"][:2]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("center", [True, False])
def test_against_brute_force(run: Run, center: bool) -> None:
    result = cluster.run(config(cluster={"center": center}), run)
    check(run, pool(), result, [20, 6, 2], center)
    assert (result.manifest.facts["center"] is None) is not center
    if center:
        assert result.manifest.facts["center"] == pytest.approx(pool().vectors[pool().embedded()].mean(0, dtype=float))
    assert {n.partition("/")[0] for n in run.stage("cluster").files.sizes()} == {
        "plan.json",
        "manifest.json",
        "commits",
        "assignments",
        "centroids_1",
        "centroids_2",
        "centroids_3",
    }


def test_the_paper_s_recipe(run: Run) -> None:
    result = cluster.run(config(cluster={**THOROUGH, "seeding": Seeding.KMEANS_PP}), run)
    check(run, pool(), result, [20, 6, 2])
    logs = result.manifest.facts["steps"]
    assert [(e["phase"], e["iteration"]) for e in logs["level_1"]] == [(0, 0), (0, 1), (1, 0)]
    assert list(logs) == ["level_1", "level_2", "level_3"]


class Stop(Exception):  # noqa: N818
    """What a kill looks like to the stage: nothing of it runs any more."""


def stopped(cfg: Config, run: Run, after: int) -> Result | None:
    told = 0

    def progress(*_: Any) -> None:
        nonlocal told
        told += 1
        if told > after:
            raise Stop

    try:
        return cluster.run(cfg, run, progress)
    except Stop:
        return None


@pytest.mark.filterwarnings("error")
def test_stopped_at_every_step_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    cfg = config(cluster={**THOROUGH, "num_clusters": [9, 3], "iterations": 1})
    write(Run(str(tmp_path / "before")), pool(120), 60)

    def fresh(name: str) -> Run:
        shutil.copytree(tmp_path / "before", tmp_path / name)
        return Run(str(tmp_path / name))

    notes: list[str] = []
    wanted = cluster.run(cfg, fresh("whole"), lambda *a: notes.append(a[3])).manifest.digest
    assert {n.partition(":")[0] for n in notes} == {"level 1", "level 2", "assigned part-00000", "assigned part-00001"}
    assert sum("9 centroids" in n or "3 centroids" in n for n in notes) == 2
    for after in range(len(notes)):
        run = fresh(str(after))
        assert stopped(cfg, run, after) is None
        result = cluster.run(cfg, run)
        assert result.manifest.digest == wanted, notes[after]
        assert result.state == "Resumed"
    run = fresh("often")
    tries = next(i for i in itertools.count() if stopped(cfg, run, 0))  # one step further each time
    assert tries == len(notes)
    assert run.stage("cluster").require().digest == wanted
    assert cluster.run(cfg, run).state == "Reused"


def test_a_level_that_is_done_is_not_loaded_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    cfg = config(cluster=THOROUGH)
    notes: list[str] = []

    def progress(*a: Any) -> None:
        notes.append(a[3])
        if a[3] == "level 2: 6 centroids":
            raise Stop

    with pytest.raises(Stop):
        cluster.run(cfg, run, progress)
    loaded: list[int] = []
    gather = cluster.gather
    monkeypatch.setattr(cluster, "gather", lambda load, blocks, c: (loaded.append(blocks), gather(load, blocks, c))[1])
    seen = len(notes)
    cluster.run(cfg, run, lambda *a: notes.append(a[3]))
    assert len(loaded) == 1  # level 3
    assert not [n for n in notes[seen:] if n.startswith(("level 1", "level 2"))]


def test_steps_do_not_pile_up(run: Run) -> None:
    most = 0

    def progress(*_: Any) -> None:
        nonlocal most
        most = max(most, len([n for n in run.stage("cluster").files.sizes("state") if "/level_1/" in n]))

    cluster.run(config(cluster={**THOROUGH, "resampling": 3}), run, progress)
    assert most <= 2  # the step and its anchor


def test_fit_fraction_clusters_a_share_and_assigns_all(run: Run) -> None:
    of = pool()
    result = cluster.run(config(cluster={"fit_fraction": 0.5, "num_clusters": [20, 4]}), run)
    ids = [of.image_id(r) for r in of.embedded()]
    fitted = uniform(key_of(0, "fit"), id_bits(ids)) < 0.5
    assert 0.3 < fitted.mean() < 0.7
    x = of.vectors[of.embedded()].astype(np.float64)
    assert result.manifest.facts["center"] == pytest.approx(x[fitted].mean(0))
    assert result.manifest.rows == len(ids)
    x -= x[fitted].mean(0)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    seeds = from_column(table(run, "cluster", "centroids_1/")["centroid"])
    nearest = ((seeds[:, None] - x[None]) ** 2).sum(2).argmin(1)
    assert fitted[nearest].all()  # with no iteration a centroid is one of the fitted points


def test_the_shards_of_embed_do_not_choose_the_seeds(tmp_path: Path) -> None:
    of = pool()
    found = []
    for rows in (40, 240):
        run = write(Run(str(tmp_path / str(rows))), of, rows)
        cluster.run(config(), run)
        found.append(from_column(table(run, "cluster", "centroids_1/")["centroid"]))
    assert np.array_equal(*found)


def test_the_seed_is_part_of_what_it_is(run: Run) -> None:
    first = cluster.run(config(), run).manifest.digest
    with pytest.raises(ConfigError, match="seed: 0 there, 1 here"):
        cluster.run(dataclasses.replace(config(), seed=1), run)
    assert cluster.run(dataclasses.replace(config(), seed=1), run, redo="stale").manifest.digest != first
    assert cluster.run(config(), run, redo="stale").manifest.digest == first


def test_a_shard_without_an_embedding(tmp_path: Path) -> None:
    of = dataclasses.replace(pool(), rejected=frozenset(range(40, 80)))
    run = write(Run(str(tmp_path / "run")), of)
    check(run, of, cluster.run(config(), run), [20, 6, 2])


def test_more_centroids_than_embeddings(run: Run) -> None:
    with pytest.raises(
        DataError, match=r"cluster\.num_clusters=\[500\] asks for more level-1 centroids than .*\(236\)"
    ):
        cluster.run(config(cluster={"num_clusters": [500]}), run)
    with pytest.raises(DataError, match=r"level 1 asks for 200 centroids.*fit_fraction"):
        cluster.run(config(cluster={"num_clusters": [200], "fit_fraction": 0.3}), run)


def test_slices_of_centroids_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digests = set()
    for size in (65_536, 7):
        monkeypatch.setattr(cluster, "SLICE", size)
        run = write(Run(str(tmp_path / str(size))), pool())
        digests.add(tuple(cluster.run(config(), run).manifest.facts["largest"]))
        digests.add(from_column(table(run, "cluster", "centroids_2/")["centroid"]).tobytes())
    assert len(digests) == 2


def embedded(rows: int, dim: int) -> dict[str, Estimate]:
    estimate = Estimate(stage="embed", shards=1, rows=rows, bytes=0, device="CPU core", device_hours=0, dim=dim)
    return {"embed": estimate}


def test_the_plan_grows_with_the_work() -> None:
    small, large = (cluster.plan(cfg, embedded(10_000, 64)) for cfg in (config(), config(cluster=THOROUGH)))
    assert 0 < small.device_hours < large.device_hours
    assert (small.rows, small.device) == (10_000, "CPU core")
    assert small.bytes > 10_000 * 40
    paper = config(cluster={"num_clusters": [20_000_000, 500_000], "iterations": 50, "fit_fraction": 0.4})
    assert cluster.plan(paper, embedded(2_300_000_000, 768)).device == "A100"


def test_a_damaged_step_is_named(tmp_path: Path) -> None:
    files, name = Files(str(tmp_path)), "state/x.parquet"
    table = pa.table({"center": [1.0, 2.0]}).replace_schema_metadata({"log": "[1]"})
    files.put(name, cluster._scratch_bytes(table))
    assert cluster._read_scratch(files, name)["center"].to_pylist() == [1.0, 2.0]
    path, named = tmp_path / name, 0
    for bit in range(0, 8 * path.stat().st_size, 7):
        flip(path, bit)
        try:
            found = cluster._read_scratch(files, name)
            assert (found["center"].to_pylist(), found.schema.metadata[b"log"]) == ([1.0, 2.0], b"[1]")
        except DamagedError as e:
            named += 1
            assert str(e).startswith(f"{path} is damaged. Delete it and run again")  # noqa: PT017
        flip(path, bit)
    assert named > 100
