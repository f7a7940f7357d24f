"""Range reads: the bytes asked for, or one sentence that names the file and the mend, on disks and object stores."""

import multiprocessing
import os
import pickle
import random
from pathlib import Path

import pytest

from siglino_core.errors import StoreError
from siglino_core.store import Files, Ranges, ranges
from siglino_core.store.patience import Patience, be_patient

DATA = {f"images/part-{i:05d}.parquet": random.Random(i).randbytes(1000 + i) for i in range(7)}


@pytest.fixture(params=["local", "memory", pytest.param("s3", marks=pytest.mark.slow)])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "s3":
        made = Files(f"{request.getfixturevalue('s3')}/{request.node.callspec.id}-{tmp_path.name}")
    else:
        url = str(tmp_path) if request.param == "local" else f"memory://ranges-{os.getpid()}-{tmp_path.name}"
        made = Files(url)
    for name, data in DATA.items():
        made.put(name, data)
    return made


def asked(n: int, seed: int = 0) -> list[tuple[str, int, int]]:
    rng = random.Random(seed)
    requests = []
    for _ in range(n):
        name = rng.choice(list(DATA))
        offset = rng.randrange(len(DATA[name]) + 1)
        requests.append((name, offset, rng.randrange(len(DATA[name]) - offset + 1)))
    return requests


def wanted(requests: list[tuple[str, int, int]]) -> list[bytes]:
    return [DATA[name][offset : offset + length] for name, offset, length in requests]


def test_the_bytes_asked_for_in_that_order(files: Files) -> None:
    requests = [*asked(60), next((n, 0, len(d)) for n, d in DATA.items()), (list(DATA)[3], 0, 0)]
    requests += requests[:3]  # some twice
    reader = Ranges(files)
    assert reader.read(requests) == wanted(requests)
    assert reader.read([]) == []


def test_after_pickling_it_reads_the_same(files: Files) -> None:
    reader = Ranges(files)
    reader.read(asked(5))
    requests = asked(10, 1)
    assert pickle.loads(pickle.dumps(reader)).read(requests) == wanted(requests)


def test_a_file_that_is_gone(files: Files) -> None:
    gone = list(DATA)[2]
    files.delete([gone])
    said = rf"{files.url}/{gone}: no such file.*Restore it, or redo the stage that wrote it"
    with pytest.raises(StoreError, match=said):
        Ranges(files).read([*asked(5), (gone, 0, 10)])


@pytest.mark.parametrize("offset", [900, 999, 2000], ids=["across the end", "at the end", "after the end"])
def test_a_file_that_was_cut_short(files: Files, offset: int) -> None:
    name = next(iter(DATA))
    files.put(name, DATA[name][:999])
    came = max(0, 999 - offset)
    said = rf"{name}: bytes {offset} to {offset + 100} were asked for and {came} of 100 came: .* Restore it, or redo"
    with pytest.raises(StoreError, match=said):
        Ranges(files).read([(name, 0, 50), (name, offset, 100)])


def test_few_files_are_open_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "OPEN", 3)
    files = Files(str(tmp_path))
    for name, data in DATA.items():
        files.put(name, data)
    before = len(os.listdir("/proc/self/fd"))
    reader = Ranges(files)
    for seed in range(5):
        requests = asked(30, seed)
        assert reader.read(requests) == wanted(requests)
    assert len(os.listdir("/proc/self/fd")) == before + 3
    reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
    assert reader.read(asked(3)) == wanted(asked(3))


def test_a_call_opens_a_file_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranges, "OPEN", 1)
    files = Files(str(tmp_path))
    for name, data in DATA.items():
        files.put(name, data)
    opened = []
    real = os.open

    def counted(path: Path, flags: int) -> int:
        opened.append(path)
        return real(path, flags)

    monkeypatch.setattr(os, "open", counted)
    names = list(DATA)[:3] * 20
    Ranges(files).read([(name, i, 5) for i, name in enumerate(names)])
    assert sorted(opened) == sorted(tmp_path / name for name in set(names))


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match=r"part-1: access denied .* Check the credentials"):
        Ranges(Files(str(tmp_path))).read([("part-1", 0, 1)])


def _read_into(reader: Ranges, requests: list[tuple[str, int, int]], queue: "multiprocessing.Queue[bool]") -> None:
    queue.put(reader.read(requests) == wanted(requests))


@pytest.mark.slow
def test_after_a_fork_it_reads_on(s3: str) -> None:
    files = Files(f"{s3}/forked")
    for name, data in DATA.items():
        files.put(name, data)
    reader = Ranges(files)
    reader.read(asked(5))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    child = context.Process(target=_read_into, args=(reader, asked(20, 1), queue))
    child.start()
    try:
        assert queue.get(timeout=60)
    finally:
        child.kill()
        child.join()


@pytest.mark.slow
def test_a_store_that_cannot_be_reached(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import s3fs

    assert s3
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    before = be_patient(Patience(stranger=0.1))
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        with pytest.raises(StoreError, match=r"s3://bucket/run/a: .*cannot be reached"):
            Ranges(Files("s3://bucket/run")).read([("a", 0, 10)])
    finally:
        be_patient(before)
        s3fs.S3FileSystem.clear_instance_cache()
