"""The sample stage: every image has one fate, quotas hold, and how the work is cut changes no byte."""

import dataclasses
import hashlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipelines import sample
from pipelines.sample import layout
from pipelines.sample.write import tar_suffix
from siglino_core.config import Shards
from siglino_core.curation.sampling.quotas import quotas
from siglino_core.distillation.curated.index import ImageIndex
from siglino_core.errors import ConfigError
from siglino_core.store import Manifest, Ranges, Run
from tests.pipelines.sampling import COVERAGE, FACILITY, check, clustered
from tests.stages import config, pool, table

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return clustered(tmp_path / "run", config())


def images(run: Run) -> list[dict[str, Any]]:
    return table(run, "sample", "images/").to_pylist()


def test_every_image_has_one_fate(run: Run) -> None:
    cfg, of = config(), pool()
    result = sample.run(cfg, run)
    assert result.state == "Computed"
    rows = check(run, of, cfg, result.manifest)
    assert result.manifest.facts["reasons"]["near_duplicate"] >= 20
    clusters = table(run, "sample", "clusters/")
    expected = quotas(
        clusters["candidates"].to_numpy(),
        [table(run, "cluster", f"centroids_{i}/")["parent_id"].to_numpy() for i in (1, 2)],
        60,
        power=cfg.sample.quota_power,
        min_support=cfg.sample.min_support,
        seed=0,
    )
    assert np.array_equal(clusters["kept"].to_numpy(), expected)
    shown = images(run)
    kept = [i for i, r in enumerate(rows) if r["kept"]]
    assert sorted(i["source_key"] for i in shown) == sorted(map(str, kept))
    for image in shown:
        row = int(image["source_key"])
        assert (image["bytes"], image["label"]) == (of.data(row), of.labels[row])
        assert all(image[f"level_{i}"] == rows[row][f"level_{i}"] for i in (1, 2, 3))
    assert [int(i["source_key"]) for i in shown] != kept  # shuffled
    assert {n.partition("/")[0] for n in run.stage("sample").files.sizes() if "/" in n} == {
        "commits",
        "clusters",
        "images",
        "index",
    }
    assert sample.run(cfg, run).state == "Reused"


def test_balance_and_labels_count_what_is_there(run: Run) -> None:
    of = pool()
    facts = sample.run(config(), run).manifest.facts
    rows = table(run, "sample", "part-").to_pylist()
    for label, (before, after) in facts["labels"].items():
        mine = [r for r, name in zip(rows, of.labels, strict=True) if name == label]
        assert (len(mine), sum(r["kept"] for r in mine)) == (before, after)
    assert facts["labels"].keys() == {name for name in of.labels if name}
    assert list(facts["balance"]) == ["random", "duplicates removed, then random", "curated"]
    assert facts["balance"]["curated"]["effective_labels"]["n"] == 5


@pytest.mark.parametrize(
    "cut",
    [
        {"rows_per_shard": 12, "groups": 3, "bucket": 1},
        {"rows_per_shard": 12, "groups": 1000, "bucket": 1000},
        {"rows_per_shard": 240, "groups": 1000, "bucket": 2000},
    ],
    ids=["groups of several shards", "a shard a group", "one group"],
)
@pytest.mark.parametrize("recipe", [{}, COVERAGE, FACILITY], ids=["hierarchical", "coverage", "facility"])
def test_groups_and_buckets_change_no_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: dict, recipe: dict
) -> None:
    cfg = config(sample=recipe)
    found = []
    monkeypatch.setattr("pipelines.sample.cells.CELL", 40)  # else a pool of this size is one cell, and one bucket
    for name in ("plain", "cut"):
        run = clustered(tmp_path / name, cfg, rows_per_shard=cut["rows_per_shard"])
        if name == "cut":
            monkeypatch.setattr(layout, "BUCKET", cut["bucket"])
            size = max(1, -(-240 // cut["rows_per_shard"] // cut["groups"]))

            def cut_small(*a: Any, of: Any = layout.Layout.of, size: int = size) -> layout.Layout:
                return dataclasses.replace(of(*a), group_size=size)

            monkeypatch.setattr(layout.Layout, "of", staticmethod(cut_small))
        manifest = sample.run(cfg, run).manifest
        check(run, pool(), cfg, manifest)
        files = {n: e[1] for n, e in manifest.files.items()}
        found.append((files, manifest.facts["balance"], manifest.facts["reasons"]))
        units = Counter(s["name"].partition("-")[0] for s in run.stage("sample").shards())
        found[-1] += (units["bucket"],)
    plain, cut_up = found
    assert plain[:3] == cut_up[:3]
    assert cut_up[3] > plain[3] == 1


def test_the_shards_of_source_do_not_change_what_is_kept(tmp_path: Path) -> None:
    kept = []
    for rows in (40, 13):
        run = clustered(tmp_path / str(rows), config(), rows_per_shard=rows)
        sample.run(config(), run)
        kept.append(table(run, "sample", "part-")["reason"].to_pylist())
    assert kept[0] == kept[1]


class Stop(Exception):  # noqa: N818
    """What a kill looks like to the stage."""


def test_stopped_at_every_unit_it_ends_with_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "BUCKET", 2000)
    cfg = config(sample={"target_size": 50})
    notes: list[str] = []
    run = clustered(tmp_path / "run", cfg, rows_per_shard=80)
    wanted = sample.run(cfg, run, lambda *a: notes.append(a[3])).manifest.digest
    for after in range(len(notes)):
        run.stage("sample").erase()
        told = 0

        def progress(*_: Any, after: int = after) -> None:
            nonlocal told
            told += 1
            if told > after:
                raise Stop

        with pytest.raises(Stop):
            sample.run(cfg, run, progress)
        result = sample.run(cfg, run)
        assert (result.state, result.manifest.digest) == ("Resumed", wanted)


def test_more_than_there_is(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"sample\.target_size=240: only (\d+) images are left .* at most \1"):
        sample.run(config(sample={"target_size": 240}), run)


def test_webdataset_shards_hold_the_same_images(tmp_path: Path) -> None:
    of, members = pool(), {}
    for kind in Shards:
        cfg = config(sample={"shards": kind})
        run = clustered(tmp_path / kind.value, cfg)
        manifest = sample.run(cfg, run).manifest
        if kind is Shards.PARQUET:
            wanted = {i["image_id"]: i for i in images(run)}
            continue
        for name in (n for n in manifest.files if n.endswith(".tar")):
            with tarfile.open(fileobj=io.BytesIO(run.stage("sample").files.read(name))) as tar:
                members |= {m.name: tar.extractfile(m).read() for m in tar.getmembers()}  # type: ignore[union-attr]
    assert {n.removesuffix(".jpg") for n in members if n.endswith(".jpg")} == wanted.keys()
    for image_id, image in wanted.items():
        assert members[f"{image_id}.jpg"] == image["bytes"] == of.data(int(image["source_key"]))
        assert members[f"{image_id}.txt"].decode() == (image["caption"] or ""), "every sample has the same fields"
        meta = json.loads(members[f"{image_id}.json"])
        assert (meta["image_id"], meta["level_1"]) == (image_id, image["level_1"])
        assert (meta["caption"], meta["format"]) == (image["caption"] or "", image["format"])
        assert None not in meta.values(), "readers take a field's type from the first samples"


def test_images_in_tars_are_png_where_all_are_else_jpg() -> None:
    """Neither `datasets` nor webdataset takes avif, heic or jxl for an image."""
    pools: list[dict[str, int]] = [{"png": 3}, {"jpeg": 2}, {"png": 1, "webp": 1}, {"webp": 2}, {"avif": 1}, {}]
    assert [tar_suffix(formats) for formats in pools] == ["png", "jpg", "jpg", "jpg", "jpg", "jpg"]


def test_parquet_holds_images_as_plain_bytes(run: Run) -> None:
    """What readers of any tool ask for: a card, and no column's type, says that they are images."""
    sample.run(config(), run)
    with run.stage("sample").files.parquet("images/part-00000.parquet") as file:
        found = file.schema_arrow
    assert found.names[-1] == "bytes"
    assert (str(found.field("bytes").type), found.field("bytes").nullable) == ("binary", False)
    assert not found.metadata


def test_a_pool_without_labels_has_no_balance(tmp_path: Path) -> None:
    of = pool(labelled=False)
    facts = sample.run(config(), clustered(tmp_path / "run", config(), of)).manifest.facts
    assert (facts["balance"], facts["labels"]) == ({}, {})


@pytest.mark.parametrize(("shards", "size"), [(1, 1), (1023, 1), (2048, 2), (200_000, 195)])
def test_groups_stay_few(shards: int, size: int) -> None:
    names = [f"part-{i:05d}" for i in range(shards)]
    manifest = Manifest(
        stage="cluster",
        fingerprint="",
        identity={},
        digest="",
        shards=1,
        rows=shards * 1000,
        rejects={},
        seconds=0,
        wall_seconds=0,
        state="",
        finished="",
        files={},
        facts={"levels": [max(4, shards // 2), max(3, shards // 8), 2]},
    )
    found = layout.Layout.of(names, manifest, 768)
    assert found.group_size == size
    assert [n for g in found.groups() for n in g] == names
    for ordered in (False, True):
        units = [u["name"] for u in found.units(ordered=ordered)]
        assert len(set(units)) == len(units) == 2 * len(found.groups()) + (2 + ordered) * found.buckets + 3


@pytest.mark.parametrize("kind", Shards)
def test_the_index_leads_to_every_image(tmp_path: Path, kind: Shards) -> None:
    of = pool()
    cfg = config(sample={"shards": kind})
    run = clustered(tmp_path / "run", cfg)
    sample.run(cfg, run)
    stage = run.stage("sample")
    index = ImageIndex.load(stage)
    rows = {r["image_id"]: r for r in table(run, "sample", "part-").to_pylist() if r["kept"]}
    found = index.read_images(Ranges(stage.files), range(len(index)))
    ids = [index.image_id(r) for r in range(len(index))]
    assert [hashlib.sha256(data).hexdigest()[:32] for data in found] == ids
    assert sorted(ids) == sorted(rows)
    for level, level_N in enumerate(index.levels_LN, start=1):
        assert level_N.tolist() == [rows[i][f"level_{level}"] for i in ids]
    sizes = {of.image_id(r): (10, 10 + r % 7) for r in of.embedded()}  # as tests.stages writes them
    assert list(zip(index.heights_N.tolist(), index.widths_N.tolist(), strict=True)) == [sizes[i] for i in ids]
    if kind is Shards.PARQUET:
        assert ids == [i["image_id"] for i in images(run)]
    suffix = {Shards.PARQUET: "parquet", Shards.WEBDATASET: "tar"}[kind]
    assert index.shards == [f"images/part-{i:05d}.{suffix}" for i in range(6)]


def test_a_lost_index_is_made_again_with_its_shard(run: Run) -> None:
    wanted = sample.run(config(), run).manifest.digest
    run.stage("sample").files.delete(["index/part-00002.parquet"])
    result = sample.run(config(), run)
    assert (result.state, result.manifest.digest) == ("Resumed", wanted)
    assert run.stage("sample").files.exists("index/part-00002.parquet")


@pytest.mark.parametrize("kind", Shards)
def test_a_shard_without_kept_images_has_no_files_of_them(tmp_path: Path, kind: Shards) -> None:
    cfg = config(sample={"shards": kind, "target_size": 10})
    run = clustered(tmp_path / "run", cfg, rows_per_shard=12)
    sample.run(cfg, run)
    index = ImageIndex.load(run.stage("sample"))
    names = run.stage("sample").require().files
    assert len(index) == 10
    assert set(index.shard_N.tolist()) == set(range(len(index.shards)))
    assert len([n for n in names if n.startswith("index/")]) == len(index.shards) <= 10
    assert len([n for n in names if n.startswith("part-")]) == 20
