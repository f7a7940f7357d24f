"""What tests of the sample have in common: a clustered run, recipes, and what must hold of any sample."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from pipelines import cluster
from siglino_core import schema
from siglino_core.config import Config, Pick, Quota
from siglino_core.store import Manifest, Run
from tests.stages import Pool, pool, table, write

COVERAGE = {"quota": Quota.GLOBAL, "pick": Pick.COVERAGE, "trim": 0.05}
FACILITY = {"quota": Quota.GLOBAL, "pick": Pick.FACILITY, "trim": 0.01, "size_penalty": 0.25, "duplicate_power": 0.0}
GROUPED = {"quota": Quota.GROUPED, "pick": Pick.HERDING, "trim": 0.01}


def clustered(path: Path, cfg: Config, of: Pool | None = None, rows_per_shard: int = 40) -> Run:
    run = write(Run(str(path)), of or pool(), rows_per_shard)
    cluster.run(cfg, run)
    return run


def check(run: Run, of: Pool, cfg: Config, manifest: Manifest) -> list[dict[str, Any]]:
    """What must hold of any sample; returns its rows."""
    levels = len(cfg.cluster.num_clusters)
    decided = table(run, "sample", "part-")
    schema.check(decided, schema.sample(levels), "sample")
    rows = decided.to_pylist()
    n = len(of.vectors)
    assert [r["image_id"] for r in rows] == [of.image_id(i) for i in range(n)]
    reasons = Counter(r["reason"] for r in rows)
    assert dict(sorted(reasons.items())) == manifest.facts["reasons"]
    assert (manifest.rows, manifest.facts["kept"]) == (n, reasons["kept"])
    assert reasons["kept"] == cfg.sample.target_size
    assert reasons["exact_duplicate"] == len(of.copies)
    assert reasons["rejected"] == len(of.rejected)
    by_id = {r["image_id"]: r for i, r in enumerate(rows) if i not in of.copies}
    vectors = {of.image_id(i): of.vectors[i].astype(float) for i in of.embedded()}
    center = of.vectors[of.embedded()].mean(0, dtype=np.float64)
    for i, row in enumerate(rows):
        assert row["kept"] == (row["reason"] == "kept") == (row["repeat"] == 1)
        assert (row["duplicate_of"] is not None) == (row["reason"] in ("near_duplicate", "exact_duplicate"))
        assert (row["level_1"] is None) == (row["reason"] in ("rejected", "exact_duplicate"))
        if row["reason"] == "exact_duplicate":
            assert row["duplicate_of"] == row["image_id"]
            assert i in of.copies
        if row["reason"] == "near_duplicate":
            stands = by_id[row["duplicate_of"]]["reason"]
            assert stands in ("kept", "over_quota", "outlier")  # what stands for it is no copy itself
            a, b = vectors[row["image_id"]] - center, vectors[row["duplicate_of"]] - center
            assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) >= cfg.sample.near_duplicate - 2e-3
    clusters = table(run, "sample", "clusters/")
    schema.check(clusters, schema.clusters(levels), "clusters")
    for name, held in (
        ("kept", ("kept",)),
        ("candidates", ("kept", "over_quota")),
        ("size", ("kept", "over_quota", "near_duplicate", "outlier")),
    ):
        counted = Counter(r["level_1"] for r in rows if r["reason"] in held)
        assert clusters[name].to_pylist() == [counted[k] for k in range(clusters.num_rows)]
    return rows
