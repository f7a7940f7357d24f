"""Training whose store has faults: they cost time and nothing else; one that is away starts the ranks again."""

import json
import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import s3fs

from pipelines import train
from siglino_core.config import Config
from siglino_core.errors import WARNING, UnreachableStoreError
from siglino_core.store import Run, s3
from siglino_core.store.patience import Patience, be_patient
from tests.e2e.marked_ray import marked_ray
from tests.e2e.test_train_kills import LOCAL, RAY, Ground, until
from tests.faulty_store import BUSY, CUT, LOST, RESET, Proxy, faulty
from tests.pipelines import distilling
from tests.pipelines.curated import curated
from tests.pipelines.distilling import TIMES
from tests.s3_server import s3_server

pytestmark = pytest.mark.slow

HASTY = '{"connect_timeout": 2, "read_timeout": 5}'


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    folder = tmp_path_factory.mktemp("ground")
    curated(folder / "curated")
    found = Ground(folder=folder, specs=distilling.teachers(folder), student=distilling.student(folder))
    distilling.ready(folder / "curated" / "run", folder / "ready", found.config(folder / "ready"))
    return found


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Before a store with one bucket, `trained`, to which this process's environment points."""
    with (
        s3_server(tmp_path_factory.mktemp("s3")) as server,
        faulty(server.url) as made,
        pytest.MonkeyPatch.context() as patch,
    ):
        for key, value in {**server.env, "AWS_ENDPOINT_URL": made.url, "FSSPEC_S3_CONFIG_KWARGS": HASTY}.items():
            patch.setenv(key, value)
        server.create_bucket("trained")
        s3fs.S3FileSystem.clear_instance_cache()
        yield made
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture(autouse=True)
def quick(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(s3, "BASE", 0.05)
    before = be_patient(Patience(known=1, stranger=1))
    yield
    proxy.fault = lambda _: ""
    be_patient(before)


@pytest.fixture(scope="module")
def ray(proxy: Proxy) -> Iterator[None]:
    """A Ray that sees the store through the proxy."""
    with marked_ray():
        yield


def sent(ground: Ground, name: str) -> Run:
    """A run in the bucket, ready to train."""
    run = Run(f"s3://trained/{name}")
    ready = ground.folder / "ready"
    for path in sorted(p for stage in ("cluster", "sample", "targets") for p in (ready / stage).rglob("*")):
        if path.is_file():
            stage, _, rest = str(path.relative_to(ready)).partition("/")
            run.stage(stage).files.put(rest, path.read_bytes())
    return run


def learnt(run: Run) -> tuple[list[dict[str, Any]], str]:
    """The curve, less the times, and the digest."""
    lines = [json.loads(line) for line in run.stage("train").files.read("metrics.jsonl").splitlines()]
    return [{k: v for k, v in line.items() if k not in TIMES} for line in lines], run.stage("train").require().digest


def test_faults_that_pass_change_nothing(ground: Ground, proxy: Proxy) -> None:
    alone = ground.run("alone")
    ground.train(alone, **LOCAL)
    run, rng = sent(ground, "faulty"), random.Random(1)
    faults = [""] * 15 + [RESET, BUSY, CUT, LOST]
    met: list[str] = []

    def fault(_: str) -> str:
        met.append(rng.choice(faults))
        return met[-1]

    proxy.fault = fault
    train.run(_at(ground.config(Path("unused"), **LOCAL), run), run)
    proxy.fault = lambda _: ""
    assert set(met) == set(faults)
    assert learnt(run) == learnt(Run(str(alone)))


@pytest.mark.storm
@pytest.mark.usefixtures("ray")
def test_a_store_that_is_away_starts_the_ranks_again_as_long_as_they_get_on(ground: Ground, proxy: Proxy) -> None:
    run = sent(ground, "away")
    undisturbed = sent(ground, "pair")
    cfg = ground.config(Path("unused"), **RAY, train__store_patience=1, train__max_restarts=1)
    train.run(_at(cfg, undisturbed), undisturbed)
    said: list[tuple[int, str]] = []

    def spoil() -> None:
        for step in (5, 9):
            seen = len(said)
            until(lambda step=step, seen=seen: any(done >= step for done, _ in said[seen:]), 60)
            proxy.fault = lambda request: RESET if "/away/sample/images/" in request else ""
            until(lambda seen=seen: any("from the newest" in note for _, note in said[seen:]), 60)
            proxy.fault = lambda _: ""

    spoiler = threading.Thread(target=spoil)
    spoiler.start()
    train.run(_at(cfg, run), run, lambda stage, done, total, note="": said.append((done, note)))
    spoiler.join()
    assert [note for _, note in said if "away" in note] == [
        f"{WARNING}the store was away: from the newest checkpoint, on 2 ranks"
    ] * 2
    assert learnt(run) == learnt(undisturbed)


@pytest.mark.storm
@pytest.mark.usefixtures("ray")
def test_a_store_that_stays_away_ends_it_by_name(ground: Ground, proxy: Proxy) -> None:
    run = sent(ground, "gone")
    cfg = _at(ground.config(Path("unused"), **RAY, train__store_patience=1, train__max_restarts=1), run)

    def tell(stage: str, done: int, total: int, note: str = "") -> None:
        if done >= 5:
            proxy.fault = lambda _: RESET

    with pytest.raises(UnreachableStoreError, match=r"^s3://trained/gone/train: the store was away 2 times"):
        train.run(cfg, run, tell)
    proxy.fault = lambda _: ""
    assert run.stage("train").manifest() is None
    assert train.run(cfg, run).state == "Resumed"


def _at(cfg: Config, run: Run) -> Config:
    return replace(cfg, run=run.url)
