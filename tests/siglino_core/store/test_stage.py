"""Stages: what is done is what storage says, it belongs to one identity, and only what is lost is done again."""

import multiprocessing
import os
import pickle
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.store import Identity, Manifest, Run, Stage
from siglino_core.store.files import UNFINISHED
from siglino_core.store.sealed import opened

SCHEMA = pa.schema([("x", pa.int64())])


def identity(**config: Any) -> Identity:
    return Identity(stage="embed", version=1, config={"size": 224, **config}, inputs={"source": "abc"})


def shards(n: int = 3) -> list[dict[str, Any]]:
    return [{"name": f"part-{i:05d}", "kind": "part", "first": i} for i in range(n)]


def write(stage: Stage, shard: dict[str, Any], who: Identity | None = None) -> dict[str, Any]:
    with stage.writer(shard["name"], (who or identity()).fingerprint) as out:
        out.write(f"{shard['name']}.parquet", pa.table({"x": [shard["first"]] * 5}), SCHEMA)
        return out.commit(rows=5, rejects={"broken": 1}, facts={"first": shard["first"]})


def finished(stage: Stage, who: Identity | None = None, redo: str = "no") -> Manifest:
    who = who or identity()
    todo = stage.begin(who, shards, redo=redo)
    for shard in todo.missing:
        write(todo.stage, shard, who)
    return todo.manifest or stage.finish(who, todo)


def names(missing: list[dict[str, Any]]) -> list[str]:
    return [s["name"][-1] for s in missing]


@pytest.fixture(params=["local", "memory"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    return Run(str(tmp_path / "run") if request.param == "local" else f"memory://stage-{os.getpid()}-{tmp_path.name}")


def life(run: Run) -> None:
    """A stage from its beginning to its end, on any store."""
    stage = run.stage("embed")
    assert (stage.manifest(), stage.shards(), stage.commits()) == (None, [], {})
    with pytest.raises(StoreError, match=r"embed is not finished: run `siglino curate --from embed` first"):
        stage.require()
    todo = stage.begin(identity(), shards)
    assert (todo.state, todo.shards, todo.missing) == ("Computed", shards(), shards())
    write(stage, shards()[1])

    def not_again() -> list[dict[str, Any]]:
        raise AssertionError("the plan is there")

    todo = stage.begin(identity(), not_again)
    assert (todo.state, names(todo.missing)) == ("Resumed", ["0", "2"])
    write(stage, shards()[0])
    with pytest.raises(StoreError, match=r"shard part-00002 is not there\. Run again: only it is redone"):
        stage.finish(identity(), todo)
    assert stage.manifest() is None
    write(stage, shards()[2])
    manifest = stage.finish(identity(), todo, facts={"dim": 4})
    assert stage.require() == manifest == stage.manifest()
    assert (manifest.rows, manifest.shards, manifest.rejects, manifest.state) == (15, 3, {"broken": 3}, "Resumed")
    assert (manifest.facts, manifest.fingerprint) == ({"dim": 4}, identity().fingerprint)
    assert list(manifest.files) == [f"part-0000{i}.parquet" for i in range(3)]
    assert {n: e[0] for n, e in manifest.files.items()} == {n: stage.files.sizes()[n] for n in manifest.files}
    todo = stage.begin(identity(), not_again)
    assert (todo.state, todo.missing, todo.manifest) == ("Reused", [], manifest)
    assert stage.records(["part-00002", "part-00000"])["part-00002"]["facts"] == {"first": 2}
    with stage.files.parquet("part-00002.parquet") as file:
        assert file.read()["x"].to_pylist() == [2] * 5

    stage.files.put("state/a", b"1")
    stage.files.put("scratch/b", b"1")
    for _ in range(2):
        stage.sweep("state", "scratch")
        assert {n.partition("/")[0] for n in stage.files.sizes()} == {"plan.json", "manifest.json", "commits"} | set(
            manifest.files
        )

    stage.files.delete(["part-00001.parquet"])
    todo = stage.begin(identity(), not_again)
    assert (todo.state, names(todo.missing), stage.manifest()) == ("Resumed", ["1"], None)
    write(stage, todo.missing[0])
    assert stage.finish(identity(), todo).digest == manifest.digest

    with pytest.raises(ConfigError, match="was made by another config"):
        stage.begin(identity(size=448), shards)
    assert stage.begin(identity(), not_again, redo="stale").state == "Reused"
    todo = stage.begin(identity(size=448), shards, redo="stale")
    assert (todo.state, len(todo.missing), list(todo.stage.files.sizes())) == ("Computed", 3, ["plan.json"])
    stage.erase()
    assert stage.files.sizes() == {}
    assert finished(stage).digest == manifest.digest
    assert finished(stage, redo="always").state == "Computed"
    run.note({"experiment": "x"})
    assert pickle.loads(pickle.dumps(run)).about() == {"experiment": "x"}


def test_life(run: Run) -> None:
    life(run)
    assert Run(run.url + "-other").about() == {}


@pytest.mark.slow
def test_life_on_s3(s3: str) -> None:
    life(Run(f"{s3}/life"))
    assert Run(f"{s3}/other").about() == {}
    assert Run(f"{s3}/life").stage("embed").require().rows == 15


def test_a_refusal_names_all_that_differs_and_the_way_out(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    other = Identity(stage="embed", version=2, config={"size": 448}, inputs={"source": "abd"})
    with pytest.raises(ConfigError) as caught:
        stage.begin(other, shards)
    assert str(caught.value) == (
        f"{tmp_path}/embed was made by another config:\n"
        "  size: 224 there, 448 here\n"
        "  inputs.source: 'abc' there, 'abd' here\n"
        "  version: 1 there, 2 here\n"
        "Use --redo embed to make it again (and what follows from it), or another run=URL."
    )
    assert stage.require().rows == 15


def test_the_digest_follows_the_bytes_alone(tmp_path: Path) -> None:
    one, two = (finished(Run(str(tmp_path / n)).stage("embed")) for n in "ab")
    assert one.digest == two.digest
    other = Run(str(tmp_path / "c")).stage("embed")
    todo = other.begin(identity(), shards)
    for shard in todo.missing:
        write(other, {**shard, "first": 9})
    assert other.finish(identity(), todo).digest != one.digest


@pytest.mark.parametrize("damage", ["truncate", "grow", "delete", "commit", "half a commit"])
def test_a_damaged_shard_alone_is_missing(tmp_path: Path, damage: str) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    before = finished(stage)
    part, commit = tmp_path / "embed/part-00001.parquet", tmp_path / "embed/commits/part-00001.json"
    if damage == "truncate":
        part.write_bytes(part.read_bytes()[:-1])
    elif damage == "grow":
        part.write_bytes(part.read_bytes() + b"x")
    elif damage == "delete":
        part.unlink()
    else:
        (tmp_path / "embed/manifest.json").unlink()
        commit.unlink() if damage == "commit" else commit.write_bytes(commit.read_bytes()[:50])
    todo = stage.begin(identity(), shards)
    assert (todo.state, names(todo.missing)) == ("Resumed", ["1"])
    write(stage, todo.missing[0])
    assert stage.finish(identity(), todo).digest == before.digest


def test_commits_of_another_fingerprint_do_not_count(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    todo = stage.begin(identity(), shards)
    for shard in shards():
        write(stage, shard, identity(size=1) if shard["first"] == 1 else None)
    assert names(stage.begin(identity(), shards).missing) == ["1"]
    with pytest.raises(StoreError, match="part-00001 is not there"):
        stage.finish(identity(), todo)


def test_a_check_may_refuse_the_manifest(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    todo = stage.begin(identity(), shards)
    for shard in shards():
        write(stage, shard)

    def check(rows: int, rejects: dict[str, int]) -> None:
        raise DataError(f"{rows} {rejects}")

    with pytest.raises(DataError, match=r"15 \{'broken': 3\}"):
        stage.finish(identity(), todo, check=check)
    assert stage.manifest() is None
    assert stage.finish(identity(), todo, shards=shards()[:2]).files.keys() == {
        "part-00000.parquet",
        "part-00001.parquet",
    }


def test_a_writer_that_raises_leaves_nothing(run: Run) -> None:
    stage = run.stage("embed")
    stage.begin(identity(), shards)

    def dies(*, inside: bool, text: bool) -> None:
        with stage.writer("part-00000", "f") as out:
            with out.parquet("part-00000.parquet", SCHEMA) as file:
                file.write_table(pa.table({"x": ["text" if text else 1]}))
                assert not inside
            raise AssertionError

    for inside in (True, False):
        with pytest.raises(AssertionError):
            dies(inside=inside, text=False)
    with pytest.raises(ValueError, match="schema"):
        dies(inside=False, text=True)
    assert list(stage.files.sizes()) == ["plan.json"]
    assert stage.files.local is None or not list((stage.files.local / UNFINISHED).glob("*"))
    assert len(stage.begin(identity(), shards).missing) == 3


def test_files_are_visible_in_commit_alone_and_its_record_comes_last(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    with stage.writer("part-00000", "f") as out:
        for name in ("part-00000.parquet", "rejects/part-00000.parquet"):
            out.write(name, pa.table({"x": [1]}), SCHEMA)
        assert stage.files.sizes() == {}
        seen: list[list[str]] = []
        put_file = stage.files.put_file
        # Not even one that does not count yet: files as long as these may lie there, of a writer that was killed.
        out._files.put_file = lambda *a: (seen.append(list(stage.files.sizes("commits"))), put_file(*a))[1]  # type: ignore[method-assign]
        out.commit(rows=1)
    assert seen == [[], []]
    assert list(stage.commits()) == ["part-00000"]


KILLED = """
import sys
from tests.siglino_core.store.test_stage import identity, write
from siglino_core.store import Run
stage = Run(sys.argv[1]).stage("embed")
plan = [{"name": f"part-{i:05d}", "kind": "part", "first": i} for i in range(300)]
todo = stage.begin(identity(), lambda: plan)
for shard in todo.missing:
    write(stage, shard)
    print(shard["name"], flush=True)
"""


def test_killed_at_any_moment_every_commit_is_true(tmp_path: Path) -> None:
    rng = random.Random(2)
    run = Run(str(tmp_path))
    done: set[str] = set()
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", KILLED, run.url], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            for _ in range(rng.randint(1, 4)):
                child.stdout.readline()
            time.sleep(rng.uniform(0.0, 0.02))
            child.send_signal(signal.SIGKILL)
        commits = run.stage("embed").commits()
        assert done <= commits.keys()
        done = set(commits)
        for name in commits:
            with run.stage("embed").files.parquet(f"{name}.parquet") as file:
                assert file.read()["x"].to_pylist() == [int(name[-5:])] * 5
    todo = run.stage("embed").begin(identity(), shards)
    assert {s["name"] for s in todo.shards} - {s["name"] for s in todo.missing} == done
    assert done


def test_erase_takes_what_counts_first_and_the_plan_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    finished(stage)
    stage.files.put("state/x", b"")
    every = list(stage.files.sizes())
    order: list[str] = []
    monkeypatch.setattr(stage.files, "delete", lambda n: order.extend(n))
    stage.erase()
    rank = {"manifest.json": 0, "commits": 1, "plan.json": 3}
    kinds = [rank.get(n.partition("/")[0], 2) for n in order]
    assert kinds == sorted(kinds)
    assert sorted(order) == sorted(every)


def begin(url: str, size: int, gate: Any, out: Any) -> None:
    gate.wait()
    try:
        out.put((size, len(Run(url).stage("embed").begin(identity(size=size), shards).missing)))
    except (ConfigError, StoreError) as e:
        out.put((size, type(e).__name__))
    gate.wait()  # who won is still there when the other is judged


def test_of_two_configs_that_begin_together_one_wins(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for i in range(5):
        gate, out = context.Barrier(2), context.Queue()
        url = str(tmp_path / str(i))
        children = [context.Process(target=begin, args=(url, size, gate, out)) for size in (1, 2)]
        for child in children:
            child.start()
        found = dict(out.get(timeout=30) for _ in children)
        for child in children:
            child.join()
        plan = opened((tmp_path / str(i) / "embed/plan.json").read_bytes(), "")
        stored = plan["identity"]["config"]["size"]
        assert found[stored] == 3
        assert found[3 - stored] in ("ConfigError", "StoreError")


def test_work_is_counted_wherever_it_was_done(tmp_path: Path) -> None:
    """What went before the writer, and the units that only led to the artifact."""
    stage = Run(str(tmp_path)).stage("embed")
    who = identity()
    todo = stage.begin(who, lambda: [{"name": "scratch", "kind": "scratch"}, {"name": "part-00000", "kind": "part"}])
    for name, worked in (("scratch", 30.0), ("part-00000", 5.0)):
        with stage.writer(name, who.fingerprint, worked=worked) as out:
            out.commit(rows=1)
    manifest = stage.finish(who, todo, shards=todo.shards[1:])
    assert 35 <= manifest.seconds < 36
    assert manifest.rows == 1


def test_images_and_plain_columns_are_stored_as_they_are(run: Run) -> None:
    wide = pa.schema(
        [
            ("label", pa.string()),
            ("reason", pa.string()),
            ("targets", pa.list_(pa.float16(), 4)),
            ("embedding", pa.list_(pa.float16(), 4)),
            ("bytes", pa.binary()),
        ]
    )
    vectors = pa.array([[1.0, 2.0, 3.0, 4.0]] * 40, pa.list_(pa.float16(), 4))
    table = pa.table([["a"] * 40, ["b"] * 40, vectors, vectors, [b"image"] * 40], wide)
    with run.stage("embed").writer("part-00000", "x") as out:
        with out.parquet("x.parquet", wide, plain=["targets", "reason"]) as file:
            file.write_table(table)
        group = pq.read_metadata(out.written("x.parquet")).row_group(0)
        assert pq.read_table(out.written("x.parquet")).equals(table)
    stored = {
        chunk.path_in_schema.partition(".")[0]: (chunk.compression, chunk.has_dictionary_page)
        for chunk in (group.column(i) for i in range(group.num_columns))
    }
    assert stored == {
        "label": ("ZSTD", True),
        "reason": ("UNCOMPRESSED", False),
        "targets": ("UNCOMPRESSED", False),
        "embedding": ("ZSTD", False),
        "bytes": ("UNCOMPRESSED", False),
    }


def test_what_a_kill_left_beside_a_finished_stage_goes_when_it_is_looked_at(tmp_path: Path) -> None:
    stage = Run(str(tmp_path)).stage("embed")
    todo = stage.begin(identity(), shards)
    for shard in todo.shards:
        with stage.writer(shard["name"], identity().fingerprint) as out:
            out.put(f"{shard['name']}.parquet", b"x")
            out.commit(rows=1)
    stage.finish(identity(), todo)
    left = tmp_path / "embed" / UNFINISHED / f"{socket.gethostname()},{2**22 + 1},0"  # of no process
    left.mkdir(parents=True)
    assert stage.begin(identity(), shards).state == "Reused"
    assert not left.parent.exists()
