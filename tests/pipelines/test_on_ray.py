"""The stages through a local Ray of two CPUs: the bytes that one process makes, and errors that arrive whole."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines import cluster, embed, expressions, sample, source, targets
from pipelines.sample import layout
from pipelines.support.runtime import map_shards, parallelism, start_ray
from siglino_core.config import Config, RuntimeConfig, Stored
from siglino_core.errors import DataError, WorkerError
from siglino_core.store import Run
from tests import pools
from tests.pipelines import curated
from tests.pipelines.expressing import REFS, SCENES, coco, refer
from tests.pipelines.expressing import config as grounding
from tests.pipelines.sampling import clustered
from tests.pipelines.support.test_runtime import shards, work
from tests.pipelines.test_cluster import THOROUGH
from tests.refer import write as write_refer
from tests.stages import config, pool, write

RAY = RuntimeConfig(workers=2, cpus=2)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("two_cpus")]


@pytest.fixture(scope="module")
def two_cpus() -> Iterator[Any]:
    """Ray is up; how SIGTERM was heeded before."""
    before = signal.getsignal(signal.SIGTERM)
    ray = start_ray(RAY)
    yield before
    ray.shutdown()


def test_ray_leaves_sigterm_as_it_was(two_cpus: Any) -> None:
    assert signal.getsignal(signal.SIGTERM) == two_cpus


def on_ray(cfg: Config, workers: int = 2) -> Config:
    return dataclasses.replace(cfg, runtime=dataclasses.replace(RAY, workers=workers))


def test_map_shards() -> None:
    assert sorted(r["i"] for r in map_shards(work, shards(7), RAY)) == list(range(7))
    assert parallelism(RAY) == 2
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    with pytest.raises(DataError, match="s9 is bad"):
        list(map_shards(work, [*shards(3), {"name": "s9", "fail": True}], RAY))
    with pytest.raises(WorkerError, match=r"^a worker failed: KeyError: 'i'\. --debug shows where"):
        list(map_shards(work, [{"name": "s9"}], RAY))
    with pytest.raises(WorkerError, match=r"^a Ray worker failed \(WorkerCrashedError: .* run the same command again"):
        list(map_shards(work, [{"name": "s9", "die": True}], RAY))  # three times more, and not for ever


FOREIGN = """
import logging, ray, sys
ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.CRITICAL)
print("ran", ray.get(ray.remote(lambda: "code of a stranger").remote()))
"""


@pytest.mark.parametrize("auth", [{}, {"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_TOKEN": "0" * 64}])
def test_a_strangers_driver_runs_nothing(auth: dict[str, str], tmp_path: Path) -> None:
    address = start_ray(RAY).get_runtime_context().gcs_address
    token = os.environ["RAY_AUTH_TOKEN"]
    assert len(token) == 64
    mode = {"RAY_AUTH_MODE": "token"} if "RAY_AUTH_TOKEN" in auth else {}
    strangers = (
        {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path)} | mode | auth
    )
    done = subprocess.run(
        [sys.executable, "-c", FOREIGN, address],
        env=strangers,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0
    assert "stranger" not in done.stdout
    assert token not in done.stdout + done.stderr


BEFORE = """
import ray
ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
ray.shutdown()
from pipelines.support.runtime import start_ray
from siglino_core.config import RuntimeConfig
ray = start_ray(RuntimeConfig(workers=1, cpus=1))
print("ran", ray.get(ray.remote(lambda: "after it").remote()))
"""


def test_after_a_ray_with_a_token_of_its_own(tmp_path: Path) -> None:
    own = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")} | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", BEFORE], env=own, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.stdout == "ran after it\n", done.stderr
    assert (tmp_path / ".ray" / "auth_token").exists(), "the first one kept its token, which is not ours"


def test_source_with_one_worker_and_with_two(tmp_path: Path) -> None:
    images = [*pools.pictures(30), *pools.pictures(5), b"<html>"]
    pools.parquet_file(tmp_path / "pool.parquet", {"image": images})
    cfg = pools.config(tmp_path / "pool.parquet", rows_per_shard=6)
    wanted = source.run(cfg, Run(str(tmp_path / "local"))).manifest.digest
    for workers in (1, 2):
        run = Run(str(tmp_path / f"ray-{workers}"))
        assert source.run(on_ray(cfg, workers), run).manifest.digest == wanted
    with pytest.raises(DataError, match="nothing is there"):
        source.run(on_ray(pools.config(tmp_path / "none")), Run(str(tmp_path / "gone")))


def test_embed_with_one_worker_and_with_two(tmp_path: Path) -> None:
    pools.parquet_file(tmp_path / "pool.parquet", {"image": pools.pictures(20)})
    cfg = pools.config(tmp_path / "pool.parquet", rows_per_shard=6)
    source.run(cfg, Run(str(tmp_path / "local")))
    wanted = embed.run(cfg, Run(str(tmp_path / "local"))).manifest.digest
    for workers in (1, 2):
        shutil.copytree(tmp_path / "local" / "source", tmp_path / f"ray-{workers}" / "source")
        assert embed.run(on_ray(cfg, workers), Run(str(tmp_path / f"ray-{workers}"))).manifest.digest == wanted


def test_cluster(tmp_path: Path) -> None:
    cfg = config(cluster=THOROUGH)
    wanted = cluster.run(cfg, write(Run(str(tmp_path / "local")), pool())).manifest.digest
    run = write(Run(str(tmp_path / "ray")), pool())
    assert cluster.run(on_ray(cfg), run).manifest.digest == wanted
    broken = on_ray(config(cluster={"num_clusters": [200], "fit_fraction": 0.3}))
    with pytest.raises(DataError, match="level 1 asks for 200 centroids"):
        cluster.run(broken, write(Run(str(tmp_path / "few")), pool()))


def test_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BUCKET", 2000)
    wanted = sample.run(config(), clustered(tmp_path / "local", config())).manifest.digest
    run = clustered(tmp_path / "ray", config())
    assert sample.run(on_ray(config()), run).manifest.digest == wanted


def test_expressions_with_one_worker_and_with_two(tmp_path: Path) -> None:
    refs = refer(write_refer(tmp_path, REFS))
    cfg = grounding([SCENES, refs, coco(tmp_path, [5, 6, 9, 11])], [refs])
    wanted = expressions.run(cfg, Run(str(tmp_path / "local"))).manifest
    assert wanted.facts["sets"][3]["left_out"] == {"image_of_a_test_set": 1}
    for workers in (1, 2):
        manifest = expressions.run(on_ray(cfg, workers), Run(str(tmp_path / f"ray-{workers}"))).manifest
        assert (manifest.digest, manifest.facts) == (wanted.digest, wanted.facts)


def test_targets_with_one_worker_and_with_two(tmp_path: Path) -> None:
    curated.curated(tmp_path)
    cfg = curated.config(curated.teachers(tmp_path / "teachers"), keep=Stored.INT8)
    wanted = targets.run(cfg, Run(str(tmp_path / "run"))).manifest.digest
    for workers in (1, 2):
        shutil.copytree(tmp_path / "run" / "sample", tmp_path / f"ray-{workers}" / "sample")
        manifest = targets.run(on_ray(cfg, workers), Run(str(tmp_path / f"ray-{workers}"))).manifest
        assert manifest.digest == wanted
