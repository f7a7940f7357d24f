"""A stage taken over from another run: the same files and records, judged by its own run, and never over another's."""

import dataclasses
import os
from pathlib import Path

import pytest

from siglino_core.errors import ConfigError, StoreError
from siglino_core.store import Identity, Run, Stage
from siglino_core.store import adopted as module
from siglino_core.store.adopted import adopt
from siglino_core.store.intact import damaged
from siglino_core.store.lease import Lease, folder
from tests.stages import finish

FILES = {"part-00000.parquet": b"one", "deep/er/part-00001.parquet": b"two"}


def made(run: Path) -> Stage:
    finish(Run(str(run)), "source", facts={"uri": "x"}, files=FILES)
    return Run(str(run)).stage("source")


def content(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


def test_it_is_the_same_and_takes_no_room(tmp_path: Path) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")
    assert adopt(to, of)
    assert content(tmp_path / "b") == content(tmp_path / "a")
    manifest = to.require()
    assert manifest == of.require()
    assert list(damaged(to.files, manifest.files)) == []
    (one, other) = ((tmp_path / run / "source/part-00000.parquet").stat() for run in "ab")
    assert (one.st_ino, one.st_nlink) == (other.st_ino, 2)


def test_the_run_itself_judges_what_it_took_over(tmp_path: Path) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")
    adopt(to, of)
    same = Identity(stage="source", version=1, config={}, inputs={})
    assert to.begin(same, list).state == "Reused"
    with pytest.raises(ConfigError, match="was made by another config"):
        to.begin(dataclasses.replace(same, config={"rows": 3}), list)


def test_one_that_is_made_anew_leaves_the_other_as_it_was(tmp_path: Path) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")
    before = content(tmp_path / "a")
    adopt(to, of)
    to.files.put("part-00000.parquet", b"another")
    to.erase()
    assert content(tmp_path / "a") == before


def test_what_is_not_finished_is_not_taken_over_and_nothing_is_written_over(tmp_path: Path) -> None:
    of, to = Run(str(tmp_path / "a")).stage("source"), Run(str(tmp_path / "b")).stage("source")
    assert not adopt(to, of)
    assert content(tmp_path) == {}
    of = made(tmp_path / "a")
    to.begin(Identity(stage="source", version=2, config={}, inputs={}), lambda: [{"name": "all", "kind": "part"}])
    before = content(tmp_path / "b")
    assert not adopt(to, of)
    assert {k: v for k, v in content(tmp_path / "b").items() if ".lease" not in k} == {
        k: v for k, v in before.items() if ".lease" not in k
    }


@pytest.mark.parametrize("files", range(5))
def test_a_kill_leaves_what_the_next_attempt_finishes(
    tmp_path: Path, files: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")
    link, left = os.link, [files]

    def killed(*places: Path) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        link(*places)

    with monkeypatch.context() as patch:
        patch.setattr(module.os, "link", killed)
        with pytest.raises(KeyboardInterrupt):
            adopt(to, of)
    assert to.manifest() is None
    if adopt(to, of):  # else the plan was there: the stage finishes by its commits
        assert to.require() == of.require()
    else:
        identity = Identity(stage="source", version=1, config={}, inputs={})
        todo = to.begin(identity, list)
        assert (todo.state, todo.missing) == ("Resumed", [])
        assert to.finish(identity, todo, facts={"uri": "x"}).digest == of.require().digest


def test_without_links_files_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")

    link = os.link

    def apart(one: Path, other: Path) -> None:
        if Path(one).is_relative_to(tmp_path / "a"):
            raise OSError(18, "Invalid cross-device link")
        link(one, other)

    monkeypatch.setattr(module.os, "link", apart)
    assert adopt(to, of)
    assert content(tmp_path / "b") == content(tmp_path / "a")
    assert (tmp_path / "b/source/part-00000.parquet").stat().st_nlink == 1


def test_an_object_store_copies_by_itself() -> None:
    of, to = (Run(f"memory://adopt-{run}").stage("source") for run in "ab")
    finish(of.run, "source", files=FILES)
    assert adopt(to, of)
    assert to.require() == of.require()
    assert list(damaged(to.files, to.require().files)) == []


def test_two_kinds_of_store_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="one of the two is on this machine's disk"):
        adopt(Run("memory://adopt-c").stage("source"), made(tmp_path / "a"))


def test_another_process_at_work_there_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of, to = made(tmp_path / "a"), Run(str(tmp_path / "b")).stage("source")
    monkeypatch.setattr("siglino_core.store.lease._alive", lambda *_: True)
    lease = Lease.take(folder(to.run.url, "source"), to.files.url)
    monkeypatch.setattr("siglino_core.store.lease._held", {})
    try:
        with pytest.raises(StoreError, match="is being made by"):
            adopt(to, of)
    finally:
        lease.release()
