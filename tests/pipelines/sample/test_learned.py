"""A second sample by what a first training has left to learn: more of hard clusters, and of nothing else more."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipelines import cluster, sample
from siglino_core import schema
from siglino_core.config import Pick, Quota
from siglino_core.curation.sampling.remaining import remaining
from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import Identity, Run
from siglino_core.store.adopted import adopt
from tests.stages import config, pool, table, write

GLOBAL = {"quota": Quota.GLOBAL, "pick": Pick.FACILITY, "trim": 0.05}


def trained(run: Run, losses: np.ndarray, level: int) -> None:
    """A finished training by hand, whose clusters of a level have these losses over a million images each."""
    n = len(losses)
    rows = {"cluster": range(n), "first_step": [0] * n, "last_step": [9] * n, "images": [10**6] * n, "loss": losses}
    stage, identity = run.stage("train"), Identity(stage="train", version=1, config={}, inputs={})
    todo = stage.begin(identity, lambda: [{"name": "student", "kind": "student"}])
    with stage.writer("student", identity.fingerprint) as out:
        out.write("clusters/part-00000.parquet", pa.table(rows).cast(schema.CLUSTER_LOSS), schema.CLUSTER_LOSS)
        out.commit(rows=10)
    stage.finish(identity, todo, facts={"cluster_level": level})


def first(path: Path, losses: np.ndarray, level: int = 1, **settings: Any) -> Run:
    run = write(Run(str(path / "first")), pool(480, near=0))
    cluster.run(config(), run)
    sample.run(config(sample=settings), run)
    trained(run, losses, level)
    return run


def second(path: Path, of: Run, name: str = "second", **settings: Any) -> Run:
    """A run of the same clusters with a sample of its own."""
    run = Run(str(path / name))
    for stage in ("source", "embed", "cluster"):
        assert adopt(run.stage(stage), of.stage(stage))
    sample.run(config(sample={"learned": of.url, **settings}), run)
    return run


def kept(run: Run, level: int = 1) -> np.ndarray:
    """Kept images of each cluster."""
    rows = table(run, "sample", "part-").to_pylist()
    counts = (20, 6, 2)[level - 1]
    return np.bincount([r[f"level_{level}"] for r in rows if r["kept"]], minlength=counts)


@pytest.mark.parametrize("settings", [{}, GLOBAL], ids=["hierarchical", "global"])
@pytest.mark.parametrize("level", [1, 2])
def test_clusters_with_more_loss_left_get_more(tmp_path: Path, settings: dict[str, Any], level: int) -> None:
    hard = np.arange((20, 6)[level - 1]) % 2 == 0
    of = first(tmp_path, np.where(hard, 3.0, 0.5), level, **settings)
    before, after = kept(of, level), kept(second(tmp_path, of, **settings), level)
    less = kept(second(tmp_path, of, "less", learned_power=-1.0, **settings), level)
    assert before.sum() == after.sum() == less.sum() == 60
    assert after[hard].sum() > before[hard].sum() > less[hard].sum()


@pytest.mark.parametrize("settings", [{}, GLOBAL], ids=["hierarchical", "global"])
@pytest.mark.parametrize("change", [{"learned_power": 0.0}, {}], ids=["power 0", "equal losses"])
def test_where_all_is_alike_the_sample_is_the_first(
    tmp_path: Path, settings: dict[str, Any], change: dict[str, Any]
) -> None:
    losses = np.full(20, 1.7) if not change else np.arange(20) + 1.0
    of = first(tmp_path, losses, **settings)
    run = second(tmp_path, of, **settings, **change)
    assert table(run, "sample", "part-").equals(table(of, "sample", "part-"))


def test_shares_are_as_the_weights_where_no_cluster_is_exhausted(tmp_path: Path) -> None:
    losses = np.linspace(0.5, 2.0, 20)
    of = first(tmp_path, losses)
    run = second(tmp_path, of, target_size=24)
    sizes = table(run, "sample", "clusters/")["candidates"].to_numpy()
    weights = remaining(of.stage("train").table("clusters/part-00000.parquet", of.stage("train").require()), 20)
    found = kept(run)
    assert np.corrcoef(found[sizes > 6], weights[sizes > 6])[0, 1] > 0.2
    assert (found <= sizes).all()


def test_it_is_an_input_and_not_a_setting(tmp_path: Path) -> None:
    of = first(tmp_path, np.arange(20) + 1.0)
    run = second(tmp_path, of)
    manifest = run.stage("sample").require()
    assert "learned" in manifest.identity["inputs"]
    assert "learned" not in manifest.identity["config"]
    assert set(of.stage("sample").require().identity["inputs"]) == {"source", "embed", "cluster"}
    assert of.url in (Path(run.url) / "sample/README.md").read_text()
    with pytest.raises(ConfigError, match="was made by another config"):
        sample.run(config(sample={"learned": of.url, "learned_power": 2.0}), run)


def test_other_clusters_and_trainings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    of = first(tmp_path, np.ones(20))
    other = write(Run(str(tmp_path / "other")), pool(480, near=0))
    cluster.run(config(cluster={"num_clusters": [20, 5]}), other)
    asked = config(cluster={"num_clusters": [20, 5]}, sample={"learned": of.url})
    with pytest.raises(ConfigError, match="its clusters are others than this run's"):
        sample.run(asked, other)
    of.stage("train").erase()
    with pytest.raises(StoreError, match="train is not finished"):
        second(tmp_path, of)
