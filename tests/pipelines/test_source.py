"""The source stage: every file of a pool ends as a row or as a reject, once, whatever happens on the way."""

import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import source
from pipelines.support.runtime import Result
from siglino_core import schema
from siglino_core.config import Format, Keep
from siglino_core.curation.dedup.exact import duplicate_rows
from siglino_core.errors import ConfigError, DataError, StoreError
from siglino_core.pools.fetch import fetch
from siglino_core.store import Run, of_kind
from tests.pictures import broken, noise
from tests.pools import config, parquet_file, pictures, stored, table, tar_bytes, write_files


def read(tmp_path: Path, uri: str | Path, run: str = "run", **settings: Any) -> tuple[Run, Result]:
    where = Run(str(tmp_path / run))
    return where, source.run(config(uri, **settings), where)


def files_by_kind(tmp_path: Path, images: list[bytes]) -> dict[str, Path]:
    """The same images as a pool of each layout."""
    folder = write_files(tmp_path / "folder", {f"{i:05d}.jpg": data for i, data in enumerate(images)})
    members = [(f"{i:05d}.jpg", data) for i, data in enumerate(images)]
    half = len(images) // 2
    tars = write_files(tmp_path / "tars", {"0.tar": tar_bytes(members[:half]), "1.tar": tar_bytes(members[half:])})
    parquet_file(tmp_path / "parquet/a.parquet", {"jpg": images[:half]}, row_group_size=3)
    parquet_file(tmp_path / "parquet/b.parquet", {"jpg": images[half:]}, row_group_size=3)
    return {"imagefolder": folder, "webdataset": tars, "parquet": tmp_path / "parquet"}


@pytest.mark.parametrize("kind", ["imagefolder", "webdataset", "parquet"])
@pytest.mark.parametrize("keep", Keep)
def test_every_layout_gives_the_same_images(tmp_path: Path, kind: str, keep: Keep) -> None:
    images = pictures(20)
    pool = files_by_kind(tmp_path, images)[kind]
    run, result = read(tmp_path, pool, keep=keep, rows_per_shard=8)
    rows = stored(run, result.manifest)
    assert [r["image_id"] for r in rows] == [hashlib.sha256(i).hexdigest()[:32] for i in images]
    assert [r["bytes"] for r in rows] == (images if keep is Keep.BYTES else [None] * 20)
    assert {(r["format"], r["width"], r["height"]) for r in rows} == {("jpeg", 48, 32)}
    assert [r["num_bytes"] for r in rows] == [len(i) for i in images]
    assert result.state == "Computed"
    facts = result.manifest.facts
    assert (facts["format"], facts["images"], facts["duplicates"]) == (kind, 20, 0)
    assert facts["bytes"] == sum(map(len, images))
    assert result.manifest.rows == 20
    assert all(Path(r["source_uri"]).is_file() for r in rows)
    for name in (n for n in result.manifest.files if n.startswith("part-")):
        part = table(run, name)
        schema.check(part, schema.SOURCE, name)
        at = [r["image_id"] for r in rows].index(part["image_id"][0].as_py())
        assert fetch(part.slice(1, 5)) == images[at + 1 : at + min(6, part.num_rows)]
        backwards = part.take(list(range(part.num_rows))[::-1])
        assert fetch(backwards.drop_columns("bytes")) == images[at : at + part.num_rows][::-1]


@pytest.mark.parametrize("kind", ["imagefolder", "webdataset", "parquet"])
def test_each_broken_file_is_one_reject(tmp_path: Path, kind: str) -> None:
    bad = broken()
    names = list(bad)
    images = [bad[n][0] for n in names] + pictures(3)
    if kind == "imagefolder":
        keys = [f"{n}.jpg" for n in names]
        pool = write_files(tmp_path / "p", dict(zip([*keys, "x.jpg", "y.jpg", "z.jpg"], images, strict=True)))
    elif kind == "webdataset":
        keys = names
        members = list(zip([f"{n}.jpg" for n in [*names, "x", "y", "z"]], images, strict=True))
        pool = write_files(tmp_path / "p", {"a.tar": tar_bytes(members)})
    else:
        keys = [str(i) for i in range(len(names))]
        pool = parquet_file(tmp_path / "p/a.parquet", {"image": images})
    run, result = read(tmp_path, pool, max_reject_share=0.9)
    rejects = stored(run, result.manifest, "rejects/")
    assert {r["source_key"]: r["reason"] for r in rejects} == {k: bad[n][1] for k, n in zip(keys, names, strict=True)}
    assert len(rejects) == len(names)
    assert len(stored(run, result.manifest)) == 3
    assert sum(result.manifest.rejects.values()) == len(names)
    assert all(r["error"] and Path(r["source_uri"]).is_file() for r in rejects)


@pytest.mark.parametrize("kind", ["imagefolder", "webdataset", "parquet"])
def test_larger_images_than_allowed_are_rejects(tmp_path: Path, kind: str) -> None:
    images = [*pictures(4), noise(1, (64, 64)), noise(2, (300, 10), "jpeg")]
    pool = files_by_kind(tmp_path, images)[kind]
    longest = sorted(map(len, images))[-2]
    run, result = read(tmp_path, pool, max_pixels=2999, max_bytes=longest, max_reject_share=0.5)
    reasons = [
        (r["reason"], r["source_key"].removesuffix(".jpg")[-1]) for r in stored(run, result.manifest, "rejects/")
    ]
    assert [r for r, _ in sorted(reasons, key=lambda r: r[1])] in (
        ["too_many_bytes", "too_many_pixels"],
        ["too_many_pixels", "too_many_bytes"],
    )
    assert len(stored(run, result.manifest)) == 4


def test_what_no_student_can_cut_into_patches_is_a_reject(tmp_path: Path) -> None:
    sides = {"a": (16, 16), "b": (15, 90), "c": (90, 15), "d": (4000, 20), "e": (4001, 20), "f": (1, 1)}
    pool = write_files(tmp_path / "p", {f"{k}.png": noise(i, sides[k], "png") for i, k in enumerate(sides)})
    run, result = read(tmp_path, pool, max_reject_share=1)
    reasons = {Path(r["source_uri"]).stem: r["reason"] for r in stored(run, result.manifest, "rejects/")}
    assert reasons == {"b": "too_small", "c": "too_small", "e": "too_narrow", "f": "too_small"}
    assert sorted((r["width"], r["height"]) for r in stored(run, result.manifest)) == [(16, 16), (4000, 20)]
    run, result = read(tmp_path / "all", pool, min_side=1, max_aspect=1e4)
    assert result.manifest.rows == len(sides)


def test_too_many_rejects_name_counts_and_examples_and_can_be_allowed(tmp_path: Path) -> None:
    pool = write_files(
        tmp_path / "p",
        {f"{i}.jpg": d for i, d in enumerate(pictures(6))} | {"b1.jpg": b"<html>", "b2.jpg": b"<html>", "b3.jpg": b""},
    )
    with pytest.raises(DataError) as caught:
        read(tmp_path, pool)
    said = str(caught.value)
    assert "3 of 9" in said
    assert "not_an_image 2, zero_size 1" in said
    assert said.count(f"{pool}/b") == 3
    run, result = read(tmp_path, pool, max_reject_share=0.4)
    assert (result.state, result.manifest.rows) == ("Resumed", 6)
    assert run.stage("source").require().rejects == {"not_an_image": 2, "zero_size": 1}


def test_a_pool_without_one_usable_image_is_an_error(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {"a.jpg": b"<html>"})
    with pytest.raises(DataError, match="1 of 1 images cannot be used"):
        read(tmp_path, pool, max_reject_share=1.0)
    parquet_file(tmp_path / "q/a.parquet", {"image": pa.array([], pa.binary())})
    with pytest.raises(DataError, match="no image in 1 parquet files"):
        read(tmp_path, tmp_path / "q", run="run2")


def test_a_truncated_tar_yields_its_images_and_one_reject(tmp_path: Path) -> None:
    whole = tar_bytes([(f"{i}.jpg", d) for i, d in enumerate(pictures(10))])
    pool = write_files(tmp_path / "p", {"a.tar": whole, "b.tar": whole[: len(whole) // 2]})
    run, result = read(tmp_path, pool)
    (reject,) = stored(run, result.manifest, "rejects/")
    assert (reject["reason"], reject["source_key"]) == ("truncated_tar", "b.tar")
    assert 10 < result.manifest.rows < 20


def test_a_file_that_vanished_is_an_error_that_names_it(tmp_path: Path) -> None:
    for kind, pool in files_by_kind(tmp_path, pictures(12)).items():
        files = sorted(p for p in pool.iterdir() if p.is_file())
        cfg = config(pool, rows_per_shard=4)
        run = Run(str(tmp_path / f"run-{kind}"))
        opened = source.open_pool(cfg.source)
        gone = files[-1]
        (shard, *_) = of_kind(source._shards(cfg.source, opened)[::-1], "part")
        gone.unlink()
        work = source.SourceWork(
            run=run,
            stage=run.stage("source"),
            fingerprint="f",
            config=cfg,
            format=opened.format,
            location=opened.location,
        )
        with pytest.raises(StoreError, match=str(gone)):
            source.read_part(work, shard)
        assert not run.stage("source").files.sizes()


def test_duplicates_across_shards_and_partitions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    unique = pictures(12)
    images = unique + [rng.choice(unique) for _ in range(28)]
    rng.shuffle(images)
    pool = write_files(tmp_path / "p", {f"{i:02d}.jpg": d for i, d in enumerate(images)})
    monkeypatch.setattr(source, "PARTITION_BYTES", 40 * source.ID_BYTES // 3 + 1)
    run, result = read(tmp_path, pool, rows_per_shard=7)
    names = [n for n in result.manifest.files if n.startswith("duplicates/")]
    assert names == [f"duplicates/part-{p:05d}.parquet" for p in range(3)]
    first: dict[bytes, tuple[str, int]] = {}
    expected = set()
    for i, data in enumerate(images):
        place = (f"part-{i // 7:05d}", i % 7)
        if data in first:
            expected.add((hashlib.sha256(data).hexdigest()[:32], *place, *first[data]))
        first.setdefault(data, place)
    rows = [tuple(r.values()) for r in stored(run, result.manifest, "duplicates/")]
    assert set(rows) == expected
    assert len(rows) == 28 == result.manifest.facts["duplicates"]
    for name in names:
        part = table(run, name).to_pylist()
        assert part
        assert part == sorted(part, key=lambda r: (r["shard"], r["row"]))
    stage = run.stage("source")
    for shard in {s["name"] for s in stage.shards() if s["name"].startswith("part-")}:
        assert duplicate_rows(stage, shard).tolist() == sorted(r[2] for r in expected if r[1] == shard)


def test_done_once_it_is_reused_and_a_lost_part_alone_is_redone(tmp_path: Path) -> None:
    pool = files_by_kind(tmp_path, pictures(20))["parquet"]
    _, first = read(tmp_path, pool, rows_per_shard=6)
    assert read(tmp_path, pool, rows_per_shard=6)[1].state == "Reused"
    part = tmp_path / "run/source/part-00001.parquet"
    before = {p: p.stat().st_mtime_ns for p in part.parent.glob("*.parquet")}
    part.unlink()
    again = read(tmp_path, pool, rows_per_shard=6)[1]
    assert (again.state, again.manifest.digest) == ("Resumed", first.manifest.digest)
    after = {p: p.stat().st_mtime_ns for p in part.parent.glob("*.parquet")}
    assert [p.name for p in before if before[p] != after[p]] == ["part-00001.parquet"]


def test_another_config_or_pool_is_refused_until_redone(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(6))})
    run, _ = read(tmp_path, pool)
    assert read(tmp_path, pool, format=Format.IMAGEFOLDER)[1].state == "Reused"  # which is what auto had found
    with pytest.raises(ConfigError, match="keep: 'bytes' there, 'pointer' here"):
        read(tmp_path, pool, keep=Keep.POINTER)
    write_files(pool, {"new.jpg": pictures(1, 50)[0]})
    with pytest.raises(ConfigError, match=r"pool: '6 files, .* there, '7 files"):
        read(tmp_path, pool)
    assert source.run(config(pool), run, redo="stale").manifest.rows == 7


def test_the_folder_of_the_run_does_not_change_a_byte(tmp_path: Path) -> None:
    pool = files_by_kind(tmp_path, pictures(9))["webdataset"]
    digests = {read(tmp_path, pool, run=name)[1].manifest.digest for name in ("a", "b/c")}
    assert len(digests) == 1


def test_a_remote_pool_and_a_remote_run(tmp_path: Path) -> None:
    images = pictures(20)
    memory = fsspec.filesystem("memory")
    for kind, folder in files_by_kind(tmp_path, images).items():
        base = f"memory://source-{os.getpid()}-{kind}"
        for path in folder.iterdir():
            memory.pipe_file(f"{base}/pool/{path.name}", path.read_bytes())
        run = Run(f"{base}/run")
        result = source.run(config(f"{base}/pool", keep=Keep.POINTER), run)
        rows = stored(run, result.manifest)
        assert {r["source_uri"].rpartition("/")[0] for r in rows} == {f"{base}/pool"}
        assert [d for n in result.manifest.files if n.startswith("part-") for d in fetch(table(run, n))] == images


def test_a_pool_inside_a_package_is_named_by_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = pictures(4)
    for place in ("here", "there"):
        parquet_file(tmp_path / place / "packaged_pool/demo/pool.parquet", {"image": images})
    digests = set()
    for place in ("here", "there"):
        with monkeypatch.context() as patch:
            patch.syspath_prepend(str(tmp_path / place))
            write_files(tmp_path / place, {"packaged_pool/__init__.py": b""})
            uri = "package://packaged_pool/demo/pool.parquet"
            run, result = read(tmp_path, uri, run=f"run-{place}", keep=Keep.POINTER)
            assert {r["source_uri"] for r in stored(run, result.manifest)} == {uri}
            assert fetch(table(run, "part-00000.parquet")) == images
            digests.add(result.manifest.digest)
    assert len(digests) == 1


def test_a_pool_that_changed_behind_its_pointers_is_noticed(tmp_path: Path) -> None:
    pool = write_files(tmp_path / "p", {f"{i}.jpg": d for i, d in enumerate(pictures(3))})
    run, _ = read(tmp_path, pool, keep=Keep.POINTER)
    (pool / "1.jpg").write_bytes(pictures(1, 99)[0])
    with pytest.raises(DataError, match=r"1\.jpg has changed"):
        fetch(table(run, "part-00000.parquet"))
    (pool / "1.jpg").unlink()
    with pytest.raises(StoreError, match=r"1\.jpg"):
        fetch(table(run, "part-00000.parquet"))


def test_the_plan_lists_what_the_run_does(tmp_path: Path) -> None:
    for kind, pool in files_by_kind(tmp_path, pictures(20)).items():
        run = Run(str(tmp_path / f"run-{kind}"))
        cfg = config(pool, rows_per_shard=6)
        before = source.plan(cfg, {})
        assert not run.stage("source").files.sizes()
        manifest = source.run(cfg, run).manifest
        assert (before.stage, before.device, before.shards) == ("source", "CPU core", manifest.shards)
        assert before.rows == pytest.approx(20, abs=0 if kind != "webdataset" else 8)  # tars are padded
        assert before.bytes > manifest.facts["bytes"]
        assert before.device_hours > 0


def test_progress_counts_every_shard(tmp_path: Path) -> None:
    pool = files_by_kind(tmp_path, pictures(20))["imagefolder"]
    said: list[tuple[str, int, int]] = []
    source.run(config(pool, rows_per_shard=5), Run(str(tmp_path / "run")), lambda *a: said.append(a[:3]))
    assert said == [("source", i, 5) for i in range(6)]


def test_text_that_is_not_unicode_is_stored(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9.jpg")
    data = pictures(1)[0]
    pool = write_files(tmp_path / "p", {"a.jpg": data, "a.json": b'{"caption": "half a \\ud83d smile"}'})
    Path(os.fsencode(pool).decode(), odd).write_bytes(data)
    run, result = read(tmp_path, pool)
    rows = stored(run, result.manifest)
    assert [(r["source_key"], r["caption"]) for r in rows] == [("a.jpg", "half a ? smile"), ("caf?.jpg", None)]


KILLED = """
import sys
from pipelines import source
from siglino_core.store import Run
from tests.pools import config
source.run(config(sys.argv[1], rows_per_shard=2), Run(sys.argv[2]), lambda *a: print(a, flush=True))
"""


def test_killed_at_random_it_ends_with_the_same_digest(tmp_path: Path) -> None:
    pool = files_by_kind(tmp_path, [*pictures(60), *pictures(20)])["parquet"]
    cfg = config(pool, rows_per_shard=2)
    wanted = source.run(cfg, Run(str(tmp_path / "whole"))).manifest.digest
    run = Run(str(tmp_path / "killed"))
    rng = random.Random(0)
    kills = 0
    command = [sys.executable, "-c", KILLED, str(pool), run.url]
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            lines = rng.choice([1, 2, 2])  # the stage has begun, or committed a shard
            if not all(child.stdout.readline() for _ in range(lines)):
                break  # it was done before it could be killed again
            time.sleep(rng.uniform(0.0, 0.2))
            if child.poll() is None:
                child.send_signal(signal.SIGKILL)
                kills += 1
    assert kills
    assert list((tmp_path / "killed/source/commits").iterdir())
    result = source.run(cfg, run)
    assert result.manifest.digest == wanted
    assert result.state in ("Resumed", "Reused")
    assert not list((tmp_path / "killed/source").glob(".unfinished/*"))


MEMORY = """
import sys
import pandas  # which Arrow loads when it first sees a list
from pipelines import source
from siglino_core.config import Keep
from siglino_core.store import Run
from tests.pools import config
def peak():
    with open("/proc/self/status") as f:
        return int(next(line for line in f if line.startswith("VmHWM")).split()[1]) >> 10
before = peak()
source.run(config(sys.argv[1], keep=Keep(sys.argv[3])), Run(sys.argv[2]))
print(before, peak())
"""
MEMORY_CAP = 400  # MiB above what is loaded; the pool has 633, in pages of 105


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
@pytest.mark.parametrize("keep", Keep)
def test_memory_does_not_grow_with_the_pool(tmp_path: Path, keep: Keep) -> None:
    images = [noise(i, (288, 200), "bmp") for i in range(8)]  # 173 kB each, and they do not compress
    columns = pa.schema([("jpg", pa.binary())])
    with pq.ParquetWriter(tmp_path / "pool.parquet", columns, compression="none", use_dictionary=False) as out:
        for g in range(6):
            rows = [images[i % 8] + g.to_bytes(2) + i.to_bytes(2) for i in range(640)]
            out.write_table(pa.table({"jpg": rows}), row_group_size=640)
    assert (tmp_path / "pool.parquet").stat().st_size > 600 << 20
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "pool.parquet"), str(tmp_path / "run"), keep.value]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    before, after = map(int, said.split())
    print(f"{keep.value}: {before} MiB, then {after} MiB")
    assert after - before < MEMORY_CAP
    assert Run(str(tmp_path / "run")).stage("source").require().rows == 3840
