"""Leases: one process at a time changes a stage, and one that is gone is succeeded."""

import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import Identity, Run, lease
from siglino_core.store.lease import Lease, folder, release_mine, require_free
from siglino_core.store.sealed import sealed
from tests.siglino_core.store.test_stage import finished, identity, shards, write

HOLD = """
import sys, time
from siglino_core.store import Run
from tests.siglino_core.store.test_stage import identity, shards, write
stage = Run(sys.argv[1]).stage("embed")
todo = stage.begin(identity(), shards)
write(stage, todo.missing[0])
print("begun", flush=True)
time.sleep(600)
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT", 0.05)
    monkeypatch.setattr(lease, "EXPIRY", 0.5)


def taken(files: Any) -> list[str]:
    return list(files.sizes())


@contextmanager
def holder(url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has begun the stage; killed in the end, also if it stands still."""
    with subprocess.Popen([sys.executable, "-c", HOLD, url], stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "begun\n"
            yield child
        finally:
            child.kill()


def test_a_second_process_is_told_who_and_since_when_and_takes_over_from_a_dead_one(tmp_path: Path) -> None:
    run = Run(str(tmp_path))
    with holder(run.url) as child:
        said = rf"^{tmp_path}/embed is being made by process {child.pid} on \S+ \(since 20\d\d-\d\d-\d\d [\d:]+ UTC\)"
        for attempt in (
            lambda: run.stage("embed").begin(identity(), shards),
            lambda: run.stage("embed").begin(identity(size=1), shards, redo="always"),
            lambda: require_free(run.url, ["source", "embed"]),
        ):
            with pytest.raises(StoreError, match=said):
                attempt()
        require_free(run.url, ["source", "cluster"])
        child.send_signal(signal.SIGSTOP)  # asleep is not dead
        with pytest.raises(StoreError, match=said):
            run.stage("embed").begin(identity(), shards)
    todo = run.stage("embed").begin(identity(), shards)
    assert (todo.state, len(todo.missing)) == ("Resumed", 2)
    assert taken(folder(run.url, "embed")) == ["00000002.json"]
    release_mine()
    assert taken(folder(run.url, "embed")) == []


def test_it_is_given_back_at_the_end_and_at_the_exit(tmp_path: Path) -> None:
    run = Run(str(tmp_path))
    finished(run.stage("embed"))
    assert taken(folder(run.url, "embed")) == []
    code = HOLD.replace("time.sleep(600)", "raise SystemExit(3)")
    assert subprocess.run([sys.executable, "-c", code, f"{run.url}/other"], check=False).returncode == 3
    assert taken(folder(f"{run.url}/other", "embed")) == []


def test_what_is_done_is_looked_at_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    monkeypatch.setattr(Lease, "take", lambda *_: pytest.fail("a lease was asked for"))
    assert stage.begin(identity(), shards).state == "Reused"


def test_a_refused_begin_holds_nothing(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    with pytest.raises(ConfigError):
        stage.begin(identity(size=1), shards)
    assert taken(folder(str(tmp_path), "embed")) == []


def race(url: str, gate: Any, out: Any) -> None:
    gate.wait()
    try:
        Lease.take(folder(url, "embed"), f"{url}/embed")
        out.put("taken")
        time.sleep(2)
    except StoreError:
        out.put("refused")


@pytest.mark.parametrize("before", ["nobody", "a dead one"])
def test_of_six_that_ask_at_once_one_takes_it(tmp_path: Path, before: str) -> None:
    context = multiprocessing.get_context("fork")
    files = folder(str(tmp_path), "embed")
    if before == "a dead one":
        files.put("00000007.json", sealed({**lease._record(), "pid": 2**22 + 5}))
    gate, out = context.Barrier(6), context.Queue()
    children = [context.Process(target=race, args=(str(tmp_path), gate, out)) for _ in range(6)]
    for child in children:
        child.start()
    assert sorted(out.get(timeout=60) for _ in children) == ["refused"] * 5 + ["taken"]
    for child in children:
        child.kill()
        child.join()


def elsewhere(**other: Any) -> bytes:
    return sealed({**lease._record(), "machine": "another", "host": "node7", **other})


@pytest.mark.usefixtures("quick")
def test_an_owner_on_another_machine_is_believed_while_it_shows_signs_of_life(tmp_path: Path) -> None:
    files = folder(str(tmp_path), "embed")
    files.put("00000001.json", elsewhere())
    over = threading.Event()

    def live() -> None:
        for beat in range(1, 1000):
            if over.wait(0.05):
                return
            files.put("00000001.json", elsewhere(beat=beat))

    thread = threading.Thread(target=live)
    thread.start()
    with pytest.raises(StoreError, match=r"is being made by process .* on node7"):
        Lease.take(files, "embed")
    over.set()
    thread.join()
    held = Lease.take(files, "embed")
    assert taken(files) == ["00000002.json"]
    held.release()


@pytest.mark.usefixtures("quick")
def test_one_that_gives_back_while_it_is_watched(tmp_path: Path) -> None:
    files = folder(str(tmp_path), "embed")
    files.put("00000001.json", elsewhere())
    timer = threading.Timer(0.15, lambda: files.delete(["00000001.json"]))
    timer.start()
    held = Lease.take(files, "embed")
    assert taken(files) == ["00000002.json"]
    held.release()
    timer.join()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("record", [b"", b"{", b"{}", b'"x"', b'{"pid": "x"}'])
def test_a_damaged_one_is_waited_for_and_taken(tmp_path: Path, record: bytes) -> None:
    files = folder(str(tmp_path), "embed")
    files.put("00000003.json", record)
    began = time.monotonic()
    held = Lease.take(files, "embed")
    assert time.monotonic() - began >= lease.EXPIRY, "its owner may be alive"
    assert taken(files) == ["00000004.json"]
    held.release()


@pytest.mark.usefixtures("quick")
def test_one_that_was_taken_over_stops_and_does_not_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()
    monkeypatch.setattr(lease._thread, "interrupt_main", interrupted.set)
    run = Run(str(tmp_path))
    stage = run.stage("embed")
    todo = stage.begin(identity(), shards)
    for shard in todo.missing:
        write(stage, shard)
    folder(run.url, "embed").put("00000002.json", elsewhere())
    assert interrupted.wait(10)
    with pytest.raises(StoreError, match="another process took over"):
        stage.finish(identity(), todo)
    assert stage.manifest() is None
    release_mine()
    assert "00000002.json" in taken(folder(run.url, "embed"))


def test_an_input_made_anew_meanwhile(tmp_path: Path) -> None:
    run = Run(str(tmp_path))
    source = run.stage("source")

    def make(first: int, redo: str = "no") -> str:
        who = Identity(stage="source", version=1, config={"first": first}, inputs={})
        todo = source.begin(who, shards, redo=redo)
        for shard in todo.missing:
            write(todo.stage, {**shard, "first": first}, who)
        return source.finish(who, todo).digest

    who = Identity(stage="embed", version=1, config={}, inputs={"source": make(1)})
    todo = run.stage("embed").begin(who, shards)
    for shard in todo.missing:
        write(todo.stage, shard, who)
    make(2, redo="always")
    with pytest.raises(StoreError, match=r"source was made anew while this was made from it .* --redo embed"):
        run.stage("embed").finish(who, todo)
    assert run.stage("embed").manifest() is None


def test_a_thread_of_the_same_process_is_another_owner(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    stage.begin(identity(), shards)
    assert len(stage.begin(identity(), shards).missing) == 3  # the same thread: what it did before has failed
    said: list[str] = []

    def other(do: Callable[[], Any]) -> None:
        try:
            do()
        except StoreError as e:
            said.append(str(e))

    thread = threading.Thread(target=other, args=(lambda: stage.begin(identity(), shards),))
    thread.start()
    thread.join()
    assert f"is being made by process {os.getpid()} " in said[0]
    release_mine()


@pytest.mark.usefixtures("quick")
def test_one_whose_folder_was_deleted_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()
    monkeypatch.setattr(lease._thread, "interrupt_main", interrupted.set)
    run = Run(str(tmp_path / "run"))
    todo = run.stage("embed").begin(identity(), shards)
    shutil.rmtree(tmp_path / "run")
    assert interrupted.wait(10)
    assert "its folder was deleted" in lease.lost()
    with pytest.raises(StoreError, match="its folder was deleted"):
        todo.lease.require()
