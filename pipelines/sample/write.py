"""Work by shard: one row for every image of the pool, and the kept ones as training shards."""

import io
import json
import tarfile
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.sample.layout import SampleWork
from pipelines.sample.read import picked
from siglino_core import schema
from siglino_core.config import Shards
from siglino_core.curation.dedup.exact import duplicate_rows
from siglino_core.hashing import id_bits, key_of, uniform
from siglino_core.pools.image_rows import image_rows
from siglino_core.store import Shard, ShardWriter
from siglino_core.store.locate import locate, locate_tar

ROW_GROUP = 256  # images a row group of a training shard: what a reader fetches at once


def write_group(work: SampleWork, unit: Shard) -> dict[str, Any]:
    """Write a group's shards: `part-N.parquet` row-aligned with source; `images/part-N`, the kept ones; their index.

    A source shard of which nothing is kept has neither images nor an index: readers of tars take an empty one for a
    fault.
    """
    writer, layout = work.writer(unit["name"]), work.layout
    decided = picked(work, unit["group"])
    rows = kept = 0
    reasons: dict[str, int] = {}
    with writer as out:
        for shard in layout.groups()[unit["group"]]:
            picks = decided.filter(pa.array(decided["shard"].to_numpy() == layout.shards.index(shard)))
            table = _decisions(work, shard, picks)
            _write_rows(out, f"{shard}.parquet", table, schema.sample(layout.levels))
            counts = table["reason"].value_counts().to_pylist()
            for entry in counts:
                reasons[entry["values"]] = reasons.get(entry["values"], 0) + entry["counts"]
            rows += table.num_rows
            kept += _images(work, out, shard, table)
        return out.commit(rows=rows, facts={"reasons": reasons, "kept": kept})


def _decisions(work: SampleWork, shard: str, picks: pa.Table) -> pa.Table:
    """The sample's rows for one source shard."""
    run = work.run
    with run.stage("source").files.parquet(f"{shard}.parquet") as file:
        ids = file.read(columns=["image_id"])["image_id"].combine_chunks()
    with run.stage("cluster").files.parquet(f"assignments/{shard}.parquet") as file:
        places = file.read()
    n = len(ids)
    reason = np.full(n, "rejected", object)
    kept = np.zeros(n, bool)
    stands = np.full(n, None, object)
    copies = duplicate_rows(run.stage("source"), shard)
    reason[copies] = "exact_duplicate"
    stands[copies] = ids.take(pa.array(copies)).to_numpy(zero_copy_only=False)
    rows = picks["row"].to_numpy()
    reason[rows] = picks["reason"].to_numpy()
    kept[rows] = picks["kept"].to_numpy()
    stands[rows] = picks["duplicate_of"].to_numpy()
    columns: dict[str, Any] = {
        "image_id": ids,
        "kept": kept,
        "repeat": kept.astype(np.int32),
        "reason": pa.array(reason, pa.string()),
        "duplicate_of": pa.array(stands, pa.string(), from_pandas=True),
    }
    for level in range(1, work.layout.levels + 1):
        value, known = np.zeros(n, np.int32), np.zeros(n, bool)
        value[places["row"].to_numpy()] = places[f"level_{level}"].to_numpy()
        known[places["row"].to_numpy()] = True
        columns[f"level_{level}"] = pa.array(value, mask=~known)
    return pa.table(columns)


def _images(work: SampleWork, out: ShardWriter, shard: str, table: pa.Table) -> int:
    """Write the kept images of one source shard, in an order shuffled by the seed, and where each one's bytes lie.

    Legend: N kept images.
    """
    config, layout = work.config, work.layout
    kept = np.flatnonzero(table["kept"].to_numpy())
    if not len(kept):
        return 0
    levels = [f"level_{i}" for i in range(1, layout.levels + 1)]
    clusters = table.select(levels).take(kept).to_pylist()
    rows = image_rows(work.run.stage("source"), shard, kept)
    images = [{**image, **ids} for (_, image), ids in zip(rows, clusters, strict=True)]
    order = np.argsort(uniform(key_of(config.seed, "shuffle"), id_bits([i["image_id"] for i in images])), kind="stable")
    images = [images[i] for i in order]
    if config.sample.shards is Shards.WEBDATASET:
        path = out.path(f"images/{shard}.tar")
        kind = tar_suffix(work.run.stage("source").require().facts.get("formats", {}))
        _write_tar(path, images, schema.images(layout.levels).names, kind)
        ranges = locate_tar(path)
        places = [ranges[f"{i['image_id']}.{kind}"] for i in images]
        offset_N, length_N = np.array(places, np.int64).reshape(-1, 2).T
    else:
        name, wanted = f"images/{shard}.parquet", schema.images(layout.levels)
        with out.parquet(name, wanted) as file:
            for start in range(0, len(images), ROW_GROUP):
                file.write_table(pa.Table.from_pylist(images[start : start + ROW_GROUP], wanted))
        offset_N, length_N = locate(out.written(name), "bytes")
    columns = {k: [i[k] for i in images] for k in ("image_id", "width", "height", *levels)}
    wanted = schema.index(layout.levels)
    index = pa.Table.from_pydict({**columns, "offset": offset_N, "length": length_N.astype(np.int32)}, wanted)
    out.write(f"index/{shard}.parquet", index, wanted)
    return len(images)


def _write_rows(out: ShardWriter, name: str, table: pa.Table, wanted: pa.Schema) -> None:
    """A table as a file; without rows it has no row group, for `datasets` cannot read an empty one."""
    with out.parquet(name, wanted) as file:
        if table.num_rows:
            file.write_table(table.cast(wanted), row_group_size=65536)


def tar_suffix(formats: dict[str, int]) -> str:
    """The one suffix of all images of a set in tars: png where all are, else jpg.

    Readers want samples of equal fields, and know images by few suffixes; what one is they see in its first bytes, and
    it stands in its JSON.
    """
    return "png" if set(formats) == {"png"} else "jpg"


def _write_tar(path: Any, images: list[dict[str, Any]], columns: list[str], kind: str) -> None:
    """A webdataset tar: image, caption and metadata of a sample, each always there; no times or owners.

    Args:
        columns: those of the Parquet form; what is null there is an empty text here, for readers take the type of a
            field from the first samples.
        kind: the suffix of the images.
    """

    def add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))

    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for image in images:
            key = image["image_id"]
            add(tar, f"{key}.{kind}", image["bytes"])
            add(tar, f"{key}.txt", (image["caption"] or "").encode())
            meta = {name: "" if image[name] is None else image[name] for name in columns if name != "bytes"}
            add(tar, f"{key}.json", json.dumps(meta, sort_keys=True, ensure_ascii=False).encode())
