"""A run on a real S3 server: killed twice, it ends as on a disk; and each way to be refused is one clear line.

The run compared with was one process. Among the long tests work passes from a process to one of Ray's workers on one
CPU; on four CPUs, where a pool of encoders that held all of them would wait for pixels for ever, one of the kills runs.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from siglino_core.store import Run
from tests.e2e.tiny import STAGES, Tiny, digests, one_message
from tests.faulty_store import MUTE, faulty
from tests.pipelines import evaluating
from tests.s3_server import S3, s3_server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        server.create_bucket("curated")
        yield server


def _keys(s3: S3, prefix: str) -> dict[str, str]:
    """Every object's ETag under a prefix of the bucket."""
    pages = s3.client.get_paginator("list_objects_v2").paginate(Bucket="curated", Prefix=prefix)
    return {item["Key"]: item["ETag"] for page in pages for item in page.get("Contents", [])}


@pytest.mark.parametrize("runner", ["local", pytest.param("ray", marks=pytest.mark.soak)])
def test_two_kills_in_a_bucket_leave_the_same_digests(
    tiny: Tiny, undisturbed: Path, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str
) -> None:
    name = f"run-{runner}"
    run = f"s3://curated/{name}"
    one = ["runtime.workers=1", "runtime.cpus=1", "embed.batch_size=7"]
    for stage, what, enough, where in (("embed", "commits/part-", 3, "local"), ("sample", "commits/", 4, runner)):
        with tiny.start(
            "curate", *tiny.words(run, *one, runner=where), env=s3.env, log=tmp_path / f"{stage}.log"
        ) as started:
            assert started.kill_when(lambda p=f"{name}/{stage}/{what}", n=enough: len(_keys(s3, p)) >= n)
        assert f"{name}/{stage}/manifest.json" not in _keys(s3, f"{name}/{stage}")
    before = _keys(s3, f"{name}/source") | _keys(s3, f"{name}/embed")
    assert "embed    Reused" in tiny.run(run, env=s3.env)
    assert {k: v for k, v in _keys(s3, f"{name}/").items() if k in before} == before, (
        "nothing finished is written again"
    )
    for key, value in s3.env.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()  # a client keeps the server that it first saw
    assert digests(run) == digests(undisturbed)
    names = {key.removeprefix(f"{name}/") for key in _keys(s3, f"{name}/")}
    local = {str(p.relative_to(undisturbed)) for p in undisturbed.rglob("*") if p.is_file()}
    assert {n for n in names if n.startswith(STAGES)} == {n for n in local if n.startswith(STAGES)}


REFUSALS = {
    "missing bucket": ("s3://nowhere/run", {}, "no such file, folder or bucket"),
    "wrong secret": ("s3://curated/refused", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "access denied"),
    "no credentials": (
        "s3://curated/refused",
        {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
        "no credentials found",
    ),
    "server down": ("s3://curated/refused", {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_are_one_line(tiny: Tiny, s3: S3, case: str) -> None:
    run, env, says = REFUSALS[case]
    nowhere = {"AWS_CONFIG_FILE": str(tiny.home / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tiny.home / "none")}
    began = time.monotonic()
    done = tiny.siglino("curate", *tiny.words(run), env={**s3.env, **nowhere, **env})
    assert done.returncode == 1, done.stdout + done.stderr
    one_message(done.stderr, "StoreError: ", run, says)
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert time.monotonic() - began < 60, "a store that isn't there must not hang the command"


@pytest.mark.soak
def test_a_store_that_accepts_and_never_answers_is_named_in_time(tiny: Tiny, s3: S3, tmp_path: Path) -> None:
    began = time.monotonic()
    with faulty(s3.url) as proxy:
        proxy.fault = lambda _: MUTE
        env = {**s3.env, "AWS_ENDPOINT_URL": proxy.url}
        with tiny.start("curate", *tiny.words("s3://curated/mute"), env=env, log=tmp_path / "log") as started:
            code, text = started.wait()
    assert time.monotonic() - began < 120
    assert code == 1, text
    one_message(text, "UnreachableStoreError: s3://curated/mute", "the store s3://curated cannot be reached", proxy.url)
    assert "warning: waiting for the store s3://curated: " in text


def test_a_pool_that_cannot_be_reached_is_one_line(tiny: Tiny, s3: S3, tmp_path: Path) -> None:
    env = {**s3.env, "AWS_SECRET_ACCESS_KEY": "wrong"}
    words = tiny.words(tmp_path / "run", "source.uri=s3://curated/pool")
    done = tiny.siglino("curate", *words, env=env)
    assert done.returncode == 1
    one_message(done.stderr, "StoreError: ", "s3://curated/pool")


@pytest.mark.soak
def test_an_evaluation_in_a_bucket_is_that_of_a_disk(
    tiny: Tiny, s3: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = evaluating.made(tmp_path)
    data = {"evaluate__datasets": [{"layout": "run", "tasks": ["knn"]}]}
    for key, value in s3.env.items():
        monkeypatch.setenv(key, value)
    s3fs.S3FileSystem.clear_instance_cache()
    away = "s3://curated/judged/run"
    s3fs.S3FileSystem().put(str(run), away, recursive=True)
    models = {"evaluate__models": [evaluating.student(run)]}  # the weights of both lie on the disk
    evaluating.evaluated(run, **models, **data)
    done = tiny.siglino("evaluate", *evaluating.words(away, **models, **data), env=s3.env)
    assert done.returncode == 0, done.stdout + done.stderr
    files = Run(away).stage("evaluate").files
    for name, content in evaluating.contents(run).items():
        assert files.read(name.removeprefix("evaluate/")) == content
    assert digests(away, *Run(away).features()) == digests(run, *Run(str(run)).features())
