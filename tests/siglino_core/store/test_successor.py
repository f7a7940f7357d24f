"""A stage made anew: whatever happens and whenever, the old artifact or the new one is whole."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import fsspec
import pytest

from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.store import Files, Manifest, Run, Stage, successor
from siglino_core.store.successor import FOLDER
from tests.siglino_core.store.test_stage import finished, identity, shards, write

NEW = identity(size=448)


@pytest.fixture(params=["local", "local without exchange", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    if request.param == "memory":
        return Run(f"memory://successor-{os.getpid()}-{tmp_path.name}")
    if request.param == "local without exchange":
        monkeypatch.setattr(successor, "_swapped", lambda *_: False)
    return Run(str(tmp_path / "run"))


def whole(files: Files) -> Manifest | None:
    """The manifest, if every file is there as it says."""
    manifest = Stage(Run(files.url.rpartition("/")[0]), "embed").manifest()
    if manifest is None:
        return None
    hashes = {n: hashlib.sha256(files.read(n)).hexdigest() for n in manifest.files if files.exists(n)}
    return manifest if hashes == {n: e[1] for n, e in manifest.files.items()} else None


def places(run: Run) -> list[Files]:
    return [Files(f"{run.url}/embed"), Files(f"{run.url}/{FOLDER}/embed")]


def left_over(run: Run) -> list[str]:
    local = Files(run.url).local
    if local is not None:
        return [str(p.relative_to(local)) for p in local.glob(f"{FOLDER}*/**/*")] + [str(p) for p in local.glob(FOLDER)]
    return list(Files(f"{run.url}/{FOLDER}").sizes())


def test_the_old_one_stands_until_the_new_one_is_whole(run: Run) -> None:
    stage = run.stage("embed")
    old = finished(stage)
    todo = stage.begin(NEW, shards, redo="stale")
    assert (todo.state, len(todo.missing), todo.stage.files.url) == ("Computed", 3, f"{run.url}/{FOLDER}/embed")
    for shard in todo.missing:
        assert stage.begin(identity(), shards).state == "Reused"
        write(todo.stage, {**shard, "first": 9}, NEW)
        assert whole(stage.files) == old
    new = stage.finish(NEW, todo)
    assert new.digest != old.digest
    assert (stage.require(), whole(stage.files), left_over(run)) == (new, new, [])
    assert stage.begin(NEW, shards).state == "Reused"


@pytest.mark.parametrize("redo", ["no", "stale", "always"])
def test_a_killed_redo_goes_on(run: Run, redo: str) -> None:
    stage = run.stage("embed")
    old = finished(stage)
    todo = stage.begin(NEW, shards, redo="stale")
    write(todo.stage, shards()[1], NEW)
    todo = stage.begin(NEW, shards, redo=redo)
    assert (todo.state, len(todo.missing), stage.require()) == ("Resumed", 2, old)


def test_a_redo_that_is_refused_costs_nothing(run: Run) -> None:
    stage = run.stage("embed")
    old = finished(stage)

    def refuse(rows: int, rejects: dict[str, int]) -> None:
        raise DataError("too many rejects")

    def no_plan() -> list[dict[str, Any]]:
        raise ConfigError("a target that cannot be met")

    with pytest.raises(ConfigError, match="cannot be met"):
        stage.begin(NEW, no_plan, redo="always")
    todo = stage.begin(NEW, shards, redo="always")
    for shard in todo.missing:
        write(todo.stage, shard, NEW)
    with pytest.raises(DataError, match="too many"):
        stage.finish(NEW, todo, check=refuse)
    assert whole(stage.files) == old
    assert stage.begin(identity(), shards).state == "Reused"  # one may think better of it
    other = identity(size=7)
    todo = stage.begin(other, shards, redo="stale")  # and of what was begun: another redo takes its place
    assert len(todo.missing) == 3
    for shard in todo.missing:
        write(todo.stage, shard, other)
    assert stage.finish(other, todo) == stage.require()
    assert left_over(run) == []


def test_a_plan_alone_is_replaced_without_a_word(run: Run) -> None:
    stage = run.stage("embed")
    stage.begin(identity(), shards)
    todo = stage.begin(NEW, shards)
    assert (todo.state, todo.stage) == ("Computed", stage)
    write(stage, shards()[0], NEW)
    with pytest.raises(ConfigError, match="was made by another config"):
        stage.begin(identity(), shards)


def test_an_unfinished_one_is_kept_too(run: Run) -> None:
    stage = run.stage("embed")
    stage.begin(identity(), shards)
    write(stage, shards()[0])
    todo = stage.begin(NEW, shards, redo="stale")
    assert len(stage.begin(identity(), shards).missing) == 2
    for shard in todo.missing:
        write(todo.stage, shard, NEW)
    assert stage.finish(NEW, todo) == stage.require()
    assert len(stage.files.sizes()) == 3 + 3 + 2


class NoPowerError(OSError):
    pass


@pytest.fixture
def fails_after(run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], list[int]]]:
    """Makes every change of the store fail after so many; returns the count of them."""
    left: list[int | None] = [None]
    seen = [0]

    def counted(do: Callable[..., Any]) -> Callable[..., Any]:
        def one(*args: Any, **kwargs: Any) -> Any:
            if left[0] is not None and seen[0] >= left[0]:
                raise NoPowerError("the machine lost its power")
            seen[0] += 1
            return do(*args, **kwargs)

        return one

    if Files(run.url).local is None:
        fs = fsspec.get_filesystem_class("memory")
        for name in ("rm_file", "cp_file"):
            monkeypatch.setattr(fs, name, counted(getattr(fs, name)))
        monkeypatch.setattr("siglino_core.store.files.REQUESTS", 1)
    else:
        monkeypatch.setattr(successor, "_swapped", counted(successor._swapped))
        monkeypatch.setattr(os, "rename", counted(os.rename))
        monkeypatch.setattr(shutil, "rmtree", counted(shutil.rmtree))

    def after(n: int | None) -> list[int]:
        left[0], seen[0] = n, 0
        return seen

    yield after
    left[0] = None


def test_stopped_after_any_step_one_of_the_two_is_whole(
    run: Run, fails_after: Callable[[int | None], list[int]]
) -> None:
    steps = 0
    for stop in range(100):
        fails_after(None)
        there = Run(f"{run.url}/{stop}")
        stage = there.stage("embed")
        old = finished(stage)
        todo = stage.begin(NEW, shards, redo="stale")
        for shard in todo.missing:
            write(todo.stage, {**shard, "first": 9}, NEW)
        seen = fails_after(stop)
        stopped = False
        try:
            stage.finish(NEW, todo)
        except (NoPowerError, StoreError):
            stopped = True
        count = seen[0]
        fails_after(None)
        manifests = [m for m in map(whole, places(there)) if m is not None]
        assert manifests, f"stopped after {stop} steps, neither is whole"
        new = next(m for m in manifests if m.fingerprint == NEW.fingerprint)  # its manifest stood before that began
        if whole(places(there)[0]) is None:
            with pytest.raises(StoreError, match=r"was being replaced by .*/\.redo/embed, which is whole: run"):
                stage.require()
        todo = stage.begin(NEW, shards, redo="stale")
        assert (todo.state, todo.manifest) == ("Reused", new), stop
        assert (whole(stage.files), left_over(there)) == (new, [])
        assert old.fingerprint != new.fingerprint
        steps = max(steps, count)
        if not stopped:
            break
    assert steps >= (3 if Files(run.url).local is not None else 20)


def test_killed_while_a_begun_one_is_dropped_the_next_run_drops_the_rest(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = finished(run.stage("embed"))
    for kept in range(6):
        stage, left = run.stage("embed"), [kept]
        todo = stage.begin(identity(size=kept), shards, redo="stale")
        for shard in todo.missing[:2]:
            write(todo.stage, shard, identity(size=kept))

        def some(files: Files, names: Any, left: list[int] = left) -> None:
            for name in names:
                left[0] -= "/.lease/" not in files.url
                if left[0] < 0 and "/.lease/" not in files.url:
                    raise KeyboardInterrupt
                with suppress(FileNotFoundError):
                    files.filesystem.rm_file(files.path(name))

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(Files, "delete", some)
            stage.begin(identity(size=100 + kept), shards, redo="stale")
        assert whole(stage.files) == old
        todo = stage.begin(identity(size=200 + kept), shards, redo="stale")
        assert (len(todo.missing), list(todo.stage.files.sizes())) == (3, ["plan.json"])


STORM = """
import sys
from tests.siglino_core.store.test_stage import finished, identity
from siglino_core.store import Run
stage = Run(sys.argv[1]).stage("embed")
for size in range(int(sys.argv[2]), 10**6):
    finished(stage, identity(size=size), redo="always")
    print(size, flush=True)
"""


def test_killed_at_any_moment_of_many_redos(tmp_path: Path) -> None:
    rng = random.Random(3)
    run = Run(str(tmp_path / "run"))
    finished(run.stage("embed"))
    first = 1000
    for _ in range(6):
        with subprocess.Popen(
            [sys.executable, "-c", STORM, run.url, str(first)], stdout=subprocess.PIPE, text=True
        ) as child:
            assert child.stdout is not None
            for _ in range(rng.randint(1, 3)):
                first = int(child.stdout.readline()) + 1
            time.sleep(rng.uniform(0.0, 0.03))
            child.send_signal(signal.SIGKILL)
        assert any(whole(place) for place in places(run))
    last = finished(run.stage("embed"), identity(size=1), redo="stale")
    assert (whole(run.stage("embed").files), left_over(run)) == (last, [])


@pytest.mark.slow
def test_on_s3(s3: str) -> None:
    run = Run(f"{s3}/successor")
    stage = run.stage("embed")
    finished(stage)
    new = finished(stage, NEW, redo="stale")
    assert (whole(stage.files), left_over(run)) == (new, [])
