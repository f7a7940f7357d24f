"""Where the work computes, when the driver's machine is not the workers': Ray with GPUs that it only believes in."""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines import embed, source
from pipelines.support import decoding, points, runtime
from siglino_core.config import RuntimeConfig
from siglino_core.device import Device
from siglino_core.store import Run
from tests import pools
from tests.pipelines import evaluating

pytestmark = pytest.mark.slow
CONFIG = RuntimeConfig(cpus=4)


def found(device: str) -> Device:
    return Device(device=device, dtype=torch.float32, batch_size=1, reason=f"seen by {os.getpid()}")


class Holder:
    """An actor in the place of `points.Worker`."""

    def __init__(self, load: Any, blocks: list[int], device: str) -> None:
        self._blocks = blocks

    def call(self, method: str) -> int:
        return len(self._blocks)


@pytest.fixture(scope="module")
def two_gpus() -> Iterator[None]:
    import ray

    runtime.require_token()
    ray.init(address="local", num_cpus=4, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


@pytest.mark.usefixtures("two_gpus")
def test_a_worker_with_a_gpu_is_asked_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.getpid()
    monkeypatch.setattr(runtime, "choose", lambda device, precision: found("cuda" if os.getpid() != here else "cpu"))
    assert runtime.gpus(CONFIG) == 2
    assert runtime.worker_device(CONFIG).device == "cuda"
    assert runtime.worker_device(RuntimeConfig(device="cpu")).device == "cpu"


@pytest.mark.usefixtures("two_gpus")
def test_no_more_actors_than_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points, "worker_device", lambda config: found("cuda"))
    monkeypatch.setattr(points, "Worker", Holder)
    held = points.RayPoints(lambda i: None, 5, CONFIG)  # type: ignore[arg-type,return-value]
    assert held._all("count") == [3, 2]
    held.close()


@pytest.mark.usefixtures("two_gpus")
def test_decoders_feed_encoders_with_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pools.parquet_file(tmp_path / "pool.parquet", {"image": [*pools.pictures(14), b"<html>"]})
    cfg = pools.config(tmp_path / "pool.parquet", rows_per_shard=4)
    source.run(cfg, Run(str(tmp_path / "local")))
    wanted = embed.run(cfg, Run(str(tmp_path / "local"))).manifest.digest
    shutil.copytree(tmp_path / "local" / "source", tmp_path / "ray" / "source")
    monkeypatch.setattr(decoding, "worker_device", lambda *_: found("cuda"))  # the workers themselves find a CPU
    on_gpus = replace(cfg, runtime=CONFIG)
    assert embed.run(on_gpus, Run(str(tmp_path / "ray"))).manifest.digest == wanted


@pytest.mark.usefixtures("two_gpus")
def test_decoders_feed_evaluated_networks_with_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = evaluating.made(tmp_path / "made")
    shutil.copytree(run, tmp_path / "ray" / "run")
    data = {"evaluate__datasets": [{"layout": "run", "tasks": ["knn"]}]}
    evaluating.evaluated(run, evaluate__models=[evaluating.student(run)], **data)
    monkeypatch.setattr(decoding, "worker_device", lambda *_: found("cuda"))  # the workers themselves find a CPU
    fed: list[str] = []
    monkeypatch.setattr(decoding.Decoder, "__init__", _told(decoding.Decoder.__init__, fed))
    on_gpus = tmp_path / "ray" / "run"
    place = {"runtime__runner": "ray", "runtime__cpus": 4}
    evaluating.evaluated(on_gpus, evaluate__models=[evaluating.student(on_gpus)], **data, **place)
    assert fed, "workers decoded what they computed"
    assert evaluating.contents(on_gpus) == evaluating.contents(run)


def _told(original: Any, said: list[str]) -> Any:
    def init(self: Any, *args: Any) -> None:
        said.append("made")
        original(self, *args)

    return init
