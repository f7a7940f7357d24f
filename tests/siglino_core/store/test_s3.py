"""A store on S3 that is slow, busy, broken or away: asked again for a while, named, and given up once."""

import os
import random
import threading
import time
from collections.abc import Callable, Iterator

import fsspec
import pytest
import s3fs

from siglino_core.errors import StoreError, UnreachableStoreError
from siglino_core.pools.location import filesystem, find
from siglino_core.store import Files, Ranges, lease, patience, s3
from siglino_core.store.lease import Lease
from siglino_core.store.patience import Patience, be_patient
from tests.faulty_store import BUSY, CUT, LOST, MUTE, RESET, Proxy, faulty
from tests.s3_server import S3
from tests.siglino_core.store.test_lease import elsewhere

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in {"CONNECT": 1.0, "READ": 1.0, "HASTE": 0.3, "BASE": 0.05, "MOST": 0.2}.items():
        monkeypatch.setattr(s3, name, value)
    monkeypatch.setattr(patience, "NOTICE", 0.3)
    patience._told.clear()
    before = be_patient(Patience(known=20, stranger=0.5))
    yield
    be_patient(before)
    patience._told.clear()


@pytest.fixture
def proxy(s3: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with faulty(os.environ["AWS_ENDPOINT_URL"]) as made:
        monkeypatch.setenv("AWS_ENDPOINT_URL", made.url)
        s3fs.S3FileSystem.clear_instance_cache()
        yield made
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def files(s3: str, proxy: Proxy, request: pytest.FixtureRequest) -> Files:
    return Files(f"{s3}/{request.node.name}")


def once(fault: str, first: str = "") -> Callable[[str], str]:
    """The first request that begins so has the fault."""
    left = [fault]
    return lambda request: left.pop() if left and request.startswith(first) else ""


def test_a_store_that_accepts_and_never_answers(files: Files, proxy: Proxy, caplog: pytest.LogCaptureFixture) -> None:
    proxy.fault = lambda _: MUTE
    with pytest.raises(
        UnreachableStoreError, match=r"^s3://bucket/\S+/a: the store s3://bucket cannot be reached: tried"
    ):
        files.read("a")
    said = [r.getMessage() for r in caplog.records if r.name == "siglino.store"]
    assert len(said) == 1
    assert said[0].startswith("waiting for the store s3://bucket: ")
    asked = len(proxy.requests)
    with pytest.raises(UnreachableStoreError, match="tried once in"):  # who cleans up does not wait as long again
        files.delete(["a"])
    assert len(proxy.requests) == asked + 1


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "http://nowhere.invalid:9000"])
def test_a_store_that_is_not_there(files: Files, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", url)
    for ask in (lambda: files.put("a", b""), files.sizes, lambda: files.read_many(["a"]), lambda: files.exists("a")):
        with pytest.raises(UnreachableStoreError, match=rf"s3://bucket .*{url}"):
            ask()


def test_a_pool_on_a_store_that_is_not_there_is_asked_for_once(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    s3fs.S3FileSystem.clear_instance_cache()
    filesystem.cache_clear()
    with pytest.raises(UnreachableStoreError, match=r"^s3://bucket/pool: the store s3://bucket .*: tried (once|\d)"):
        find(f"{s3}/pool")
    filesystem.cache_clear()
    s3fs.S3FileSystem.clear_instance_cache()


def test_faults_that_pass_cost_nothing_but_time(files: Files, proxy: Proxy) -> None:
    rng, data = random.Random(3), random.Random(4).randbytes(200_000)
    faults: list[str] = []

    def fault(_: str) -> str:
        faults.append(rng.choice([RESET, BUSY, CUT, LOST]) if rng.random() < 0.3 else "")
        return faults[-1]

    proxy.fault = fault
    for i in range(12):
        files.put(f"{i}", data[i:])
    ranges = [(f"{i % 12}", 1000 * i, 5000) for i in range(36)]
    assert Ranges(files).read(ranges) == [data[i % 12 :][start : start + n] for i, (_, start, n) in enumerate(ranges)]
    assert files.read_many([f"{i}" for i in range(12)]) == {f"{i}": data[i:] for i in range(12)}
    with files.open("3") as f:
        assert f.read() == data[3:]
    assert files.sizes() == {f"{i}": len(data) - i for i in range(12)}
    files.delete([f"{i}" for i in range(12)])
    assert files.sizes() == {}
    assert {RESET, BUSY, CUT, LOST} <= set(faults)


def test_a_store_that_is_busy_for_a_while(files: Files, proxy: Proxy) -> None:
    files.put("a", b"here")
    until = time.monotonic() + 1.5
    proxy.fault = lambda _: BUSY if time.monotonic() < until else ""
    assert files.read("a") == b"here"
    until = time.monotonic() + 1.5
    files.put("b", b"there")


def test_who_is_out_of_patience_says_what_the_store_said(files: Files, proxy: Proxy) -> None:
    files.put("a", b"1234")
    be_patient(Patience(known=0.5, stranger=0))
    proxy.fault = lambda _: BUSY
    with pytest.raises(UnreachableStoreError, match="reduce your request rate"):
        Ranges(files).read([("a", 0, 2)])


def test_a_slow_answer_is_waited_for_and_somebody_told(
    files: Files, proxy: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    files.put("a", b"late")
    caplog.clear()
    patience._told.clear()
    proxy.delay = 0.6
    assert [files.read("a") for _ in range(2)] == [b"late"] * 2
    assert caplog.text.count("waiting for the store s3://bucket") == 1, "once in a while"


def test_what_does_not_pass_is_asked_once(files: Files, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(says: str, ask: Callable[[], object]) -> None:
        proxy.requests.clear()
        with pytest.raises(StoreError, match=says) as caught:
            ask()
        assert not isinstance(caught.value, UnreachableStoreError)
        assert len(proxy.requests) == 1

    refused("no such file", lambda: Ranges(files).read([("gone", 0, 9)]))
    refused("no such file, folder or bucket", lambda: Files("s3://nowhere/run").put("a", b""))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    s3fs.S3FileSystem.clear_instance_cache()
    refused("access denied", lambda: Files(files.url).put("a", b""))


def test_a_create_whose_answer_was_lost_was_ours_or_anothers(files: Files, proxy: Proxy) -> None:
    proxy.fault = once(LOST, "PUT")
    assert files.create("a", b"ours")
    proxy.fault = once(RESET, "PUT")
    assert not files.create("a", b"theirs")
    assert files.read("a") == b"ours"


def test_a_file_in_parts_of_which_nobody_can_say_whether_it_was_written(files: Files, proxy: Proxy) -> None:
    ends: list[str] = []
    directly = S3(url=proxy.upstream, env={}).client

    def fault(request: str) -> str:
        if request.startswith("POST ") and "?uploadId=" in request:
            ends.append(request)
            if len(ends) == 1:
                return LOST
            directly.delete_object(Bucket="bucket", Key=files.path("a").partition("/")[2])
        return ""

    proxy.fault = fault
    with pytest.raises(patience.UnansweredError, match="is not known"):
        files.filesystem.pipe_file(files.path("a"), bytes(11 << 20), chunksize=5 << 20)
    assert len(ends) == 2


def test_what_the_user_set_stays(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def limits(files: Files) -> tuple[float, float]:
        files.filesystem.connect()
        config = files.filesystem.s3.meta.config
        return config.connect_timeout, config.read_timeout

    s3fs.S3FileSystem.clear_instance_cache()
    assert limits(Files(s3)) == (1.0, 1.0)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"config_kwargs": {"read_timeout": 7}})
    assert limits(Files(s3)) == (1.0, 7)
    assert limits(Files(s3, hasty=True)) == (0.3, 0.3)


def test_a_lease_outlives_a_store_that_is_away(
    files: Files, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.1)
    monkeypatch.setattr(lease, "RETRY", 0.05)
    held = Lease.take(files, f"{files.url}/embed")
    patience._told.clear()

    def beat() -> int:
        record = files.read_record("00000001.json")
        assert record is not None
        return int(record["beat"])

    proxy.fault = lambda _: MUTE
    until(lambda: "no sign of life of this process could be given" in caplog.text)
    proxy.fault = lambda _: ""
    before = beat()
    until(lambda: beat() > before)
    held.require()
    held.release()
    assert files.sizes() == {}


def test_who_watches_a_lease_does_not_count_the_time_without_a_store(
    files: Files, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.1)
    monkeypatch.setattr(lease, "EXPIRY", 1.5)
    files.put("00000001.json", elsewhere())

    def lapse() -> None:
        time.sleep(0.3)
        proxy.fault = lambda _: BUSY
        time.sleep(1.8)
        proxy.fault = lambda _: ""
        files.put("00000001.json", elsewhere(beat=1))

    thread = threading.Thread(target=lapse)
    thread.start()
    with pytest.raises(StoreError, match=r"is being made by process .* on node7"):
        Lease.take(files, "embed")
    thread.join()


def until(happened: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)
