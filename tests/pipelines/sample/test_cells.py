"""Near-duplicates and outliers, told inside cells."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from pipelines import sample
from pipelines.judge.folder import written
from pipelines.judge.methods import by_recipe, fitted
from siglino_core.config import Config
from siglino_core.store import Run
from tests.pipelines.sampling import FACILITY, check, clustered
from tests.stages import Pool, config, pool, table


@pytest.mark.parametrize("levels", [[30], [30, 4], [1]], ids=["n/8", "two levels", "one cluster"])
def test_as_many_are_trimmed_as_were_asked_for_whatever_the_clusters(tmp_path: Path, levels: list[int]) -> None:
    cfg = config(cluster={"num_clusters": levels}, sample={**FACILITY, "trim": 0.05, "near_duplicate": 1.0})
    reasons = sample.run(cfg, clustered(tmp_path / "run", cfg)).manifest.facts["reasons"]
    assert reasons["outlier"] == int(0.05 * len(pool().embedded()))


def test_no_near_duplicates_are_looked_for_at_one(run: Run) -> None:
    cfg = config(sample={"near_duplicate": 1.0})
    rows = check(run, pool(), cfg, sample.run(cfg, run).manifest)
    assert not [r for r in rows if r["reason"] == "near_duplicate"]


def test_the_larger_image_stands_for_the_smaller(tmp_path: Path) -> None:
    x = np.eye(12)[np.arange(30) % 10] + 1e-3 * np.random.default_rng(0).normal(size=(30, 12))
    of = Pool(vectors=(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16), labels=[None] * 30)
    cfg = config(cluster={"num_clusters": [1]}, sample={"target_size": 10})
    run = clustered(tmp_path / "run", cfg, of, 30)
    rows = check(run, of, cfg, sample.run(cfg, run).manifest)
    pixels = [10 * (10 + r % 7) for r in range(30)]  # as tests.stages writes them
    for like in range(10):
        mine = [like, like + 10, like + 20]
        assert [i for i in mine if rows[i]["kept"]] == [max(mine, key=lambda i: pixels[i])]


def test_the_trimmed_are_the_loneliest(run: Run) -> None:
    sample.run(config(sample={"trim": 0.1, "near_duplicate": 1.0}), run)
    of, rows = pool(), table(run, "sample", "part-").to_pylist()
    here = [i for i in of.embedded() if rows[i]["reason"] != "exact_duplicate"]
    x = of.vectors[here].astype(float) - of.vectors[of.embedded()].mean(0, dtype=np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    d2 = ((x[:, None] - x) ** 2).sum(2)
    np.fill_diagonal(d2, np.inf)
    near = np.argsort(d2, axis=1)
    named = np.array([any(i in near[j, :3] for j in near[i, :2]) for i in range(len(x))])
    lonely = np.take_along_axis(d2, near, axis=1)[:, 1] * np.where(named, 0.5, 1)
    outlier = np.array([rows[i]["reason"] == "outlier" for i in here])
    assert outlier.sum() == int(0.1 * len(here))
    assert lonely[outlier].min() > lonely[~outlier].max() - 1e-2  # float16


def test_an_image_that_many_were_copies_of_is_neither_an_outlier_nor_small(tmp_path: Path) -> None:
    """Two hundred images of two kinds, and six images of forty copies each, far from all."""
    rng = np.random.default_rng(0)
    kinds = np.eye(24)[rng.integers(0, 2, 200)] + 0.2 * rng.standard_normal((200, 24))
    copied = np.repeat(np.eye(24)[10:16], 40, axis=0) + 0.005 * rng.standard_normal((240, 24))
    x = np.concatenate([kinds, copied])
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float16).astype(np.float32)
    ids = [hashlib.sha256(b"%d" % i).hexdigest()[:32] for i in range(len(x))]
    folder = written(str(tmp_path / "run"), x, ids)
    cfg = fitted(Config(), len(x), 40, [12])
    kept = by_recipe(cfg, folder).rows_T
    assert len(kept) == 40
    assert sorted((kept[kept >= 200] - 200) // 40) == list(range(6))  # one of each
