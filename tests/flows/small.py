"""A small pool curated by the command line, in one process, for tests that look at what came of it."""

from pathlib import Path

import pytest

from flows.cli import main
from tests.pools import parquet_file

HERE = "runtime.runner=local"
SETTINGS = [
    "source.rows_per_shard=12",
    "cluster.num_clusters=[6,2]",
    "sample.target_size=20",
    "sample.near_duplicate=1",
    "sample.trim=0",
    "report.map_points=10",
    "seed=3",
]


def curated(folder: Path, images: list[bytes]) -> Path:
    """The finished run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        patch.delenv("PREFECT_API_URL", raising=False)
        parquet_file(folder / "pool.parquet", {"image": images})
        assert main(["curate", f"source.uri={folder / 'pool.parquet'}", f"run={folder / 'run'}", *SETTINGS, HERE]) == 0
    return folder / "run"
