"""A pool as finished stages: they are what the product's own would be, and the sample leads back to the rows."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from pipelines import cluster, sample
from pipelines.judge.folder import kept, written
from siglino_core import schema
from siglino_core.config import ClusterConfig, Config, Runner, RuntimeConfig, SampleConfig
from tests.stages import table

RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 8))
X = (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
IDS = [hashlib.sha256(b"%d" % i).hexdigest()[:32] for i in range(90)]
CONFIG = Config(
    cluster=ClusterConfig(num_clusters=[9, 3]),
    sample=SampleConfig(target_size=30),
    runtime=RuntimeConfig(runner=Runner.LOCAL),
)


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)
    monkeypatch.setattr("pipelines.judge.folder.ROWS", 40)  # three shards


def test_both_stages_are_finished_and_hold_the_pool(tmp_path: Path) -> None:
    sizes = np.stack([np.arange(90) + 1, np.arange(90) + 2], 1)
    folder = written(str(tmp_path / "run"), X, IDS, sizes)
    source, embed = (table(folder.run, stage, "part-") for stage in ("source", "embed"))
    schema.check(source, schema.SOURCE, "source")
    schema.check(embed, schema.embed(8), "embed")
    rows = [int(key) for key in source["source_key"].to_pylist()]
    assert source["image_id"].to_pylist() == embed["image_id"].to_pylist() == sorted(IDS)
    assert [IDS[row] for row in rows] == sorted(IDS)
    assert np.array_equal(np.array(embed["embedding"].to_pylist()), X[rows])
    assert source["width"].to_pylist() == [row + 1 for row in rows]
    assert source["label"].null_count == 90
    assert [folder.run.stage(s).require().shards for s in ("source", "embed")] == [4, 3]


def test_what_is_kept_leads_back_to_the_rows_wherever_they_stood(tmp_path: Path) -> None:
    folder = written(str(tmp_path / "run"), X, IDS)
    cluster.run(CONFIG, folder.run)
    facts = sample.run(CONFIG, folder.run).manifest.facts
    rows = kept(folder)
    assert np.array_equal(rows, np.unique(rows))
    assert len(rows) == 30
    ids = {row["image_id"] for row in table(folder.run, "sample", "part-").to_pylist() if row["kept"]}
    assert {IDS[row] for row in rows} == ids
    assert facts["learning"] == {"why": "the pool has no labels"}  # none is measured twice

    order = RNG.permutation(90)
    other = written(str(tmp_path / "other"), X[order], [IDS[i] for i in order])
    cluster.run(CONFIG, other.run)
    sample.run(CONFIG, other.run)
    assert np.array_equal(np.sort(order[kept(other)]), rows)
